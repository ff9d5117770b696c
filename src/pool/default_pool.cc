#include "pool/default_pool.h"

#include <atomic>

#include "arrow/compute/exec.h"
#include "arrow/io/interfaces.h"
#include "floodwall/limit_scope.h"
#include "pool/imported_functions.h"

namespace floodwall {
namespace {

std::atomic<bool> routed{false};

// Floodwall's own calls are not replaced: here the originals answer.

arrow::MemoryPool* DefaultPool() {
  if (routed.load(std::memory_order_acquire)) return RoutingPool::Instance();
  return arrow::default_memory_pool();
}

const arrow::io::IOContext& DefaultIoContext() {
  const arrow::io::IOContext& original = arrow::io::default_io_context();
  if (!routed.load(std::memory_order_acquire)) return original;
  static const auto* const guarded =
      new arrow::io::IOContext(RoutingPool::Instance(), original.executor(), original.stop_token());
  return *guarded;
}

arrow::compute::ExecContext* Guarded(const arrow::compute::ExecContext& original) {
  auto* context = new arrow::compute::ExecContext(RoutingPool::Instance(), original.executor(),
                                                  original.func_registry());
  context->set_use_threads(original.use_threads());
  return context;
}

arrow::compute::ExecContext* DefaultExecContext() {
  arrow::compute::ExecContext* original = arrow::compute::default_exec_context();
  if (!routed.load(std::memory_order_acquire)) return original;
  static arrow::compute::ExecContext* const guarded = Guarded(*original);
  return guarded;
}

arrow::compute::ExecContext* ThreadedExecContext() {
  arrow::compute::ExecContext* original = arrow::compute::threaded_exec_context();
  if (!routed.load(std::memory_order_acquire)) return original;
  static arrow::compute::ExecContext* const guarded = Guarded(*original);
  return guarded;
}

}  // namespace

arrow::Status HookDefaultPool() {
  static const Replacement kReplacements[] = {
      {"_ZN5arrow19default_memory_poolEv", reinterpret_cast<void*>(&DefaultPool)},
      {"_ZN5arrow2io18default_io_contextEv", reinterpret_cast<void*>(&DefaultIoContext)},
      {"_ZN5arrow7compute20default_exec_contextEv", reinterpret_cast<void*>(&DefaultExecContext)},
      {"_ZN5arrow7compute21threaded_exec_contextEv", reinterpret_cast<void*>(&ThreadedExecContext)},
  };
  return ReplaceImportedFunctions(kReplacements);
}

void SwitchDefaultPool(bool on) { routed.store(on, std::memory_order_release); }

}  // namespace floodwall

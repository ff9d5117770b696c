#include "base/log_once.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <system_error>

#include "base/fork_epoch.h"
#include "floodwall/log.h"

namespace floodwall {
namespace {

std::shared_ptr<const LogSink>& Sink() {
  // Never destroyed: threads may still log while the process exits.
  static auto* sink = new std::shared_ptr<const LogSink>;
  return *sink;
}

/// True the first time for each `kind`; once the table is full, never again.
bool IsNew(uint64_t kind) {
  static std::array<std::atomic<uint64_t>, 64> told{};
  for (auto& slot : told) {
    uint64_t there = slot.load(std::memory_order_relaxed);
    if (there == 0 && slot.compare_exchange_strong(there, kind, std::memory_order_relaxed)) {
      return true;
    }
    if (there == kind) return false;
  }
  return false;
}

}  // namespace

void SetLogSink(LogSink sink) {
  auto made = sink ? std::make_shared<const LogSink>(std::move(sink)) : nullptr;
  {
    const std::lock_guard guard(ForkSafeMutex());
    Sink().swap(made);
  }
  // The old sink dies here, outside the lock.
}

void LogFailureOnce(std::string_view source, int error, std::string_view consequence) {
  if (error == 0) return;
  const uint64_t kind = std::hash<std::string_view>()(source) * 31 + static_cast<uint64_t>(error);
  if (!IsNew(kind == 0 ? 1 : kind)) return;
  std::shared_ptr<const LogSink> sink;
  {
    const std::lock_guard guard(ForkSafeMutex());
    sink = Sink();
  }
  if (sink == nullptr) return;
  try {
    std::string line(source);
    line += ": ";
    line += std::error_code(error, std::generic_category()).message();
    line += "; ";
    line += consequence;
    (*sink)(line);
  } catch (...) {
    // A monitor must not be what fails.
  }
}

}  // namespace floodwall

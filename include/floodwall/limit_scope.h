#pragma once

/// Charges what a thread allocates to the limit it is in, for code that takes no pool argument.
///
/// RoutingPool is installed as pyarrow's and Arrow's default while some LimitScope is entered.
/// Each block remembers its scope, so that it is discharged where it was charged, whenever and by
/// whichever thread it is freed.
///
/// Attribution: a thread that has entered a scope allocates in its innermost one. A thread that
/// has not (Arrow's workers, other threads of the program) allocates in the innermost scope of the
/// only thread that has one; when several threads have scopes nobody can tell for whom a worker
/// works, and its blocks are charged to none. Tasks of an event loop share their thread's scopes.
///
/// Threading: all methods from any thread; the allocation path takes no lock. Errors: a denial is
/// OutOfMemory with an ErrorDetail; callers that are known to abort the process when refused
/// (Arrow's CSV reader) are served and counted as overdrafts. Units: bytes, with 64 a block for
/// its memory of the scope. Lifetime: RoutingPool is immortal; a scope ends when it has been left
/// and its last block was freed.

#include <cstdint>
#include <memory>
#include <string>

#include "arrow/memory_pool.h"
#include "arrow/status.h"
#include "floodwall/budget.h"
#include "floodwall/export.h"
#include "floodwall/guarded_pool.h"

namespace floodwall {

class ChargedScope;
struct ThreadScopes;

/// One entered limit.
class FLOODWALL_EXPORT LimitScope {
 public:
  /// Enters a scope on the calling thread, below the innermost one it is in.
  static std::shared_ptr<LimitScope> Enter(std::string name, int64_t limit_bytes,
                                           OnExceed on_exceed);
  ~LimitScope();
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;

  /// Leaves; blocks stay charged until freed. From any thread, in any order, once or more.
  void Leave();

  const std::shared_ptr<Budget>& budget() const { return budget_; }
  int64_t denied_count() const;
  /// Requests served although they did not fit: under kRecord, or because the caller would abort.
  int64_t overdraft_count() const;
  /// The last request that did not fit, as its error; OK when all did.
  arrow::Status last_refusal() const;

 private:
  LimitScope(ChargedScope* scope, std::shared_ptr<ThreadScopes> thread);
  ChargedScope* scope_;  // kept by this handle even after it is left
  std::shared_ptr<ThreadScopes> thread_;
  std::shared_ptr<Budget> budget_;
  bool left_ = false;
};

/// The pool that finds the scope.
class FLOODWALL_EXPORT RoutingPool final : public arrow::MemoryPool {
 public:
  static RoutingPool* Instance();
  /// Where memory comes from, from now on; its figures are this pool's figures.
  void set_upstream(arrow::MemoryPool* upstream);

  /// Makes `arrow::default_memory_pool()`, and Arrow's default contexts for I/O and compute, name
  /// this pool for every library that is loaded now, except floodwall's own; or, with false, no
  /// longer. A few milliseconds when libraries were loaded since the last call. NotImplemented on
  /// other systems and processors than Linux on x86-64 and AArch64.
  static arrow::Status RouteDefaults(bool on);

  using MemoryPool::Allocate;
  using MemoryPool::Free;
  using MemoryPool::Reallocate;
  arrow::Status Allocate(int64_t size, int64_t alignment, uint8_t** out) override;
  arrow::Status Reallocate(int64_t old_size, int64_t new_size, int64_t alignment,
                           uint8_t** ptr) override;
  void Free(uint8_t* buffer, int64_t size, int64_t alignment) override;
  void ReleaseUnused() override;
  int64_t bytes_allocated() const override;
  int64_t max_memory() const override;
  int64_t total_bytes_allocated() const override;
  int64_t num_allocations() const override;
  std::string backend_name() const override;

 private:
  RoutingPool() = default;
  ~RoutingPool() override = default;
  std::atomic<arrow::MemoryPool*> upstream_{arrow::default_memory_pool()};
};

}  // namespace floodwall

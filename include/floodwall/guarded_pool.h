#pragma once

/// An arrow::MemoryPool with an exact cap.
///
/// Threading: thread-safe, lock-free apart from the upstream allocator. Errors: a denial
/// is Status::OutOfMemory with an ErrorDetail; a failed Reallocate leaves the old block
/// valid. Units: bytes. Lifetime: **immortal** - pyarrow and every buffer keep raw
/// pointers to their pool, so a pool is never destroyed; Make returns a plain pointer and
/// the few hundred bytes stay until the process ends.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "arrow/memory_pool.h"
#include "floodwall/budget.h"
#include "floodwall/export.h"

namespace floodwall {

/// What a pool does with a request that its budget refuses.
enum class OnExceed {
  kDeny,    ///< returns OutOfMemory
  kRecord,  ///< serves it and counts it in denied_count(): for code that cannot survive a denial
};

/// Allocates from an upstream pool after reserving in a budget.
class FLOODWALL_EXPORT GuardedPool final : public arrow::MemoryPool {
 public:
  /// upstream null: arrow::default_memory_pool(). Never destroyed, see above.
  static GuardedPool* Make(std::shared_ptr<Budget> budget, OnExceed on_exceed = OnExceed::kDeny,
                           arrow::MemoryPool* upstream = nullptr);

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

  /// Requests that the budget refused (denied, or recorded under kRecord).
  int64_t denied_count() const { return denied_.load(std::memory_order_relaxed); }
  const std::shared_ptr<Budget>& budget() const { return budget_; }

 private:
  GuardedPool(std::shared_ptr<Budget> budget, OnExceed on_exceed, arrow::MemoryPool* upstream);
  ~GuardedPool() override = default;
  arrow::Status ReserveOrRecord(int64_t bytes);

  const std::shared_ptr<Budget> budget_;
  const OnExceed on_exceed_;
  arrow::MemoryPool* const upstream_;
  alignas(64) std::atomic<int64_t> allocated_{0};
  alignas(64) std::atomic<int64_t> peak_{0};
  std::atomic<int64_t> total_{0};
  std::atomic<int64_t> count_{0};
  std::atomic<int64_t> denied_{0};
};

}  // namespace floodwall

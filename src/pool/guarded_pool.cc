#include "floodwall/guarded_pool.h"

#include <mutex>
#include <utility>
#include <vector>

#include "pool/high_water_mark.h"

namespace floodwall {

GuardedPool* GuardedPool::Make(std::shared_ptr<Budget> budget, OnExceed on_exceed,
                               arrow::MemoryPool* upstream) {
  if (upstream == nullptr) upstream = arrow::default_memory_pool();
  auto* pool = new GuardedPool(std::move(budget), on_exceed, upstream);
  // Never deleted: buffers and pyarrow keep raw pointers to it (see the header). The list, itself
  // never destroyed, keeps every pool reachable, so that leak checkers see what is meant.
  static std::mutex mutex;
  static auto* const immortal = new std::vector<GuardedPool*>();
  std::lock_guard lock(mutex);
  immortal->push_back(pool);
  return pool;
}

GuardedPool::GuardedPool(std::shared_ptr<Budget> budget, OnExceed on_exceed,
                         arrow::MemoryPool* upstream)
    : budget_(std::move(budget)), on_exceed_(on_exceed), upstream_(upstream) {}

arrow::Status GuardedPool::ReserveOrRecord(int64_t bytes) {
  if (budget_->TryReserve(bytes)) return arrow::Status::OK();
  // Again, this time with reclaimers and with an error that knows the figures.
  arrow::Status refused = budget_->Reserve(bytes);
  if (refused.ok()) return refused;
  denied_.fetch_add(1, std::memory_order_relaxed);
  if (on_exceed_ == OnExceed::kDeny) return refused;
  budget_->ForceReserve(bytes);
  return arrow::Status::OK();
}

arrow::Status GuardedPool::Allocate(int64_t size, int64_t alignment, uint8_t** out) {
  if (size < 0) return arrow::Status::Invalid("negative malloc size");
  ARROW_RETURN_NOT_OK(ReserveOrRecord(size));
  arrow::Status status = upstream_->Allocate(size, alignment, out);
  if (!status.ok()) {
    budget_->Release(size);
    return status;
  }
  const int64_t now = allocated_.fetch_add(size, std::memory_order_acq_rel) + size;
  RaiseHighWaterMark(&peak_, now);
  total_.fetch_add(size, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  return status;
}

arrow::Status GuardedPool::Reallocate(int64_t old_size, int64_t new_size, int64_t alignment,
                                      uint8_t** ptr) {
  if (new_size < 0) return arrow::Status::Invalid("negative realloc size");
  const int64_t growth = new_size - old_size;
  if (growth > 0) ARROW_RETURN_NOT_OK(ReserveOrRecord(growth));
  arrow::Status status = upstream_->Reallocate(old_size, new_size, alignment, ptr);
  if (!status.ok()) {
    if (growth > 0) budget_->Release(growth);
    return status;
  }
  if (growth < 0) budget_->Release(-growth);
  const int64_t now = allocated_.fetch_add(growth, std::memory_order_acq_rel) + growth;
  if (growth > 0) {
    RaiseHighWaterMark(&peak_, now);
    total_.fetch_add(growth, std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_relaxed);
  }
  return status;
}

void GuardedPool::Free(uint8_t* buffer, int64_t size, int64_t alignment) {
  upstream_->Free(buffer, size, alignment);
  allocated_.fetch_sub(size, std::memory_order_acq_rel);
  budget_->Release(size);
}

void GuardedPool::ReleaseUnused() { upstream_->ReleaseUnused(); }

int64_t GuardedPool::bytes_allocated() const { return allocated_.load(std::memory_order_acquire); }
int64_t GuardedPool::max_memory() const { return peak_.load(std::memory_order_acquire); }
int64_t GuardedPool::total_bytes_allocated() const {
  return total_.load(std::memory_order_relaxed);
}
int64_t GuardedPool::num_allocations() const { return count_.load(std::memory_order_relaxed); }
std::string GuardedPool::backend_name() const { return "floodwall+" + upstream_->backend_name(); }

}  // namespace floodwall

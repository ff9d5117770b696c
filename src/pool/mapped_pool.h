#pragma once

/// An arrow::MemoryPool whose large blocks are mappings of their own: what is freed returns to the
/// system, which malloc does not promise. glibc keeps freed blocks that lie below others, so that
/// a merge of 64 MiB was seen to hold 101; the merge's pools stand on this one.
///
/// Some freed blocks are kept for the next request, because fresh pages cost as much as what is
/// done with them: a quarter of what the budget has left at most, beyond kSlack.
///
/// Threading: thread-safe. Errors: OutOfMemory from the system. Units: bytes. Lifetime: the
/// pools on top are immortal, and so is this one. Memory: blocks are rounded up by a sixteenth at
/// most, of which the last pages are not touched.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arrow/memory_pool.h"
#include "floodwall/budget.h"

namespace floodwall {

class MappedPool final : public arrow::MemoryPool {
 public:
  /// Smaller blocks come from malloc.
  static constexpr int64_t kSmallest = 64 << 10;
  /// Kept even when the budget is used up.
  static constexpr int64_t kSlack = 2 << 20;
  static constexpr int64_t kMostKept = 64 << 20;

  /// Never destroyed.
  static MappedPool* Make(std::shared_ptr<Budget> budget);

  using MemoryPool::Allocate;
  using MemoryPool::Free;
  using MemoryPool::Reallocate;
  arrow::Status Allocate(int64_t size, int64_t alignment, uint8_t** out) override;
  arrow::Status Reallocate(int64_t old_size, int64_t new_size, int64_t alignment,
                           uint8_t** ptr) override;
  void Free(uint8_t* buffer, int64_t size, int64_t alignment) override;
  /// Unmaps what is kept.
  void ReleaseUnused() override;

  int64_t bytes_allocated() const override { return 0; }
  int64_t max_memory() const override { return 0; }
  int64_t total_bytes_allocated() const override { return 0; }
  int64_t num_allocations() const override { return 0; }
  std::string backend_name() const override { return "mapped"; }

  int64_t kept_bytes() const;
  /// The mapping that a block of `size` bytes gets.
  static int64_t Rounded(int64_t size);

 private:
  struct Block {
    uint8_t* start;
    int64_t bytes;
  };
  explicit MappedPool(std::shared_ptr<Budget> budget) : budget_(std::move(budget)) {}
  ~MappedPool() override = default;
  int64_t MostKept() const;
  void KeepAtMost(int64_t bytes, std::vector<Block>* surplus);

  const std::shared_ptr<Budget> budget_;
  mutable std::mutex mutex_;
  std::vector<Block> kept_;  ///< the last one freed is behind
  int64_t kept_bytes_ = 0;
};

}  // namespace floodwall

#include "pool/mapped_pool.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include <sys/mman.h>

namespace floodwall {
namespace {

constexpr int64_t kPage = 4096;

uint8_t* Map(int64_t bytes) {
  void* start = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return start == MAP_FAILED ? nullptr : static_cast<uint8_t*>(start);
}

void Unmap(uint8_t* start, int64_t bytes) { ::munmap(start, static_cast<size_t>(bytes)); }

arrow::Status NoMemory(int64_t size) {
  return arrow::Status::OutOfMemory("the system has no memory for a block of ", size, " bytes");
}

}  // namespace

MappedPool* MappedPool::Make(std::shared_ptr<Budget> budget) {
  auto* pool = new MappedPool(std::move(budget));
  // As GuardedPool's: reachable, so that leak checkers see what is meant.
  static std::mutex mutex;
  static auto* const immortal = new std::vector<MappedPool*>();
  std::lock_guard lock(mutex);
  immortal->push_back(pool);
  return pool;
}

int64_t MappedPool::Rounded(int64_t size) {
  const auto step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(size)) / 16);
  const int64_t unit = std::max(kPage, step);
  return (size + unit - 1) / unit * unit;
}

int64_t MappedPool::MostKept() const {
  // Some of what is left is for vectors, which are planned for but not charged.
  return std::min(kMostKept, std::max(kSlack, budget_->available_bytes() / 4));
}

void MappedPool::KeepAtMost(int64_t bytes, std::vector<Block>* surplus) {
  // Those freed first are the coldest.
  size_t gone = 0;
  for (; gone < kept_.size() && kept_bytes_ > bytes; ++gone) {
    kept_bytes_ -= kept_[gone].bytes;
    surplus->push_back(kept_[gone]);
  }
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(gone));
}

arrow::Status MappedPool::Allocate(int64_t size, int64_t alignment, uint8_t** out) {
  if (size < kSmallest || alignment > kPage) {
    return arrow::system_memory_pool()->Allocate(size, alignment, out);
  }
  if (size > std::numeric_limits<int64_t>::max() / 2) return NoMemory(size);
  const int64_t bytes = Rounded(size);
  std::vector<Block> surplus;
  uint8_t* start = nullptr;
  {
    std::lock_guard lock(mutex_);
    for (size_t i = kept_.size(); i-- > 0 && start == nullptr;) {
      if (kept_[i].bytes != bytes) continue;
      start = kept_[i].start;
      kept_bytes_ -= bytes;
      kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(i));
    }
    KeepAtMost(MostKept(), &surplus);
  }
  for (const Block& block : surplus) Unmap(block.start, block.bytes);
  if (start == nullptr) start = Map(bytes);
  if (start == nullptr) return NoMemory(size);
  *out = start;
  return arrow::Status::OK();
}

arrow::Status MappedPool::Reallocate(int64_t old_size, int64_t new_size, int64_t alignment,
                                     uint8_t** ptr) {
  const bool was_mapped = old_size >= kSmallest && alignment <= kPage;
  const bool is_mapped = new_size >= kSmallest && alignment <= kPage;
  if (!was_mapped && !is_mapped) {
    return arrow::system_memory_pool()->Reallocate(old_size, new_size, alignment, ptr);
  }
  if (was_mapped && is_mapped) {
    const int64_t before = Rounded(old_size);
    const int64_t after = Rounded(new_size);
    if (before == after) return arrow::Status::OK();
    // Pages are moved, not copied.
    void* moved =
        ::mremap(*ptr, static_cast<size_t>(before), static_cast<size_t>(after), MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return NoMemory(new_size);
    *ptr = static_cast<uint8_t*>(moved);
    return arrow::Status::OK();
  }
  uint8_t* block = nullptr;
  ARROW_RETURN_NOT_OK(Allocate(new_size, alignment, &block));
  std::memcpy(block, *ptr, static_cast<size_t>(std::min(old_size, new_size)));
  Free(*ptr, old_size, alignment);
  *ptr = block;
  return arrow::Status::OK();
}

void MappedPool::Free(uint8_t* buffer, int64_t size, int64_t alignment) {
  if (size < kSmallest || alignment > kPage) {
    return arrow::system_memory_pool()->Free(buffer, size, alignment);
  }
  const Block block{buffer, Rounded(size)};
  std::vector<Block> surplus;
  {
    std::lock_guard lock(mutex_);
    kept_.push_back(block);
    kept_bytes_ += block.bytes;
    KeepAtMost(MostKept(), &surplus);
  }
  for (const Block& gone : surplus) Unmap(gone.start, gone.bytes);
}

void MappedPool::ReleaseUnused() {
  std::vector<Block> all;
  {
    std::lock_guard lock(mutex_);
    KeepAtMost(0, &all);
  }
  for (const Block& block : all) Unmap(block.start, block.bytes);
}

int64_t MappedPool::kept_bytes() const {
  std::lock_guard lock(mutex_);
  return kept_bytes_;
}

}  // namespace floodwall

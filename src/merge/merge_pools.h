#pragma once

/// The budget and the pools of one merge, taken from those of finished merges where there are any:
/// pools are immortal (buffers keep raw pointers to them), so a service that merges all day would
/// collect them without end.
///
/// Threading: Take and destruction may happen in any thread; the pools are thread-safe.
/// Errors: std::bad_alloc. Units: bytes. Lifetime: whoever holds one outlives everything that was
/// charged to it; pools that still hold bytes then are never used again.

#include <cstdint>
#include <memory>

#include "floodwall/budget.h"
#include "floodwall/guarded_pool.h"
#include "pool/mapped_pool.h"

namespace floodwall {

class MergePools {
 public:
  static MergePools Take(int64_t limit_bytes);
  ~MergePools();
  MergePools(MergePools&&) = default;
  MergePools& operator=(MergePools&&) = delete;

  const std::shared_ptr<Budget>& budget() const { return set_->budget; }
  GuardedPool* index() const { return set_->index; }
  GuardedPool* payload() const { return set_->payload; }
  GuardedPool* read() const { return set_->read; }
  GuardedPool* encode() const { return set_->encode; }
  GuardedPool* spill() const { return set_->spill; }

 private:
  struct Set {
    std::shared_ptr<Budget> budget;
    MappedPool* blocks;
    GuardedPool* index;
    GuardedPool* payload;
    GuardedPool* read;
    GuardedPool* encode;
    GuardedPool* spill;
  };
  struct FreeList;
  static FreeList* Free();
  explicit MergePools(std::unique_ptr<Set> set) : set_(std::move(set)) {}

  std::unique_ptr<Set> set_;
};

}  // namespace floodwall

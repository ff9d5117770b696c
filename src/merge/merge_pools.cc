#include "merge/merge_pools.h"

#include <mutex>
#include <utility>
#include <vector>

namespace floodwall {
namespace {

GuardedPool* MakePool(const char* name, const std::shared_ptr<Budget>& budget, OnExceed on_exceed,
                      MappedPool* blocks) {
  return GuardedPool::Make(Budget::Make(name, Budget::kUnlimited, budget), on_exceed, blocks);
}

}  // namespace

struct MergePools::FreeList {
  std::mutex mutex;
  std::vector<std::unique_ptr<Set>> sets;
};

MergePools::FreeList* MergePools::Free() {
  // Never destroyed, as the pools in it.
  static auto* const list = new FreeList();
  return list;
}

MergePools MergePools::Take(int64_t limit_bytes) {
  {
    FreeList* list = Free();
    std::lock_guard lock(list->mutex);
    while (!list->sets.empty()) {
      auto set = std::move(list->sets.back());
      list->sets.pop_back();
      if (set->budget->Restart(limit_bytes)) return MergePools(std::move(set));
    }
  }
  auto set = std::make_unique<Set>();
  set->budget = Budget::Make("merge", limit_bytes);
  set->blocks = MappedPool::Make(set->budget);
  set->index = MakePool("key index", set->budget, OnExceed::kDeny, set->blocks);
  set->payload = MakePool("source rows", set->budget, OnExceed::kDeny, set->blocks);
  set->read = MakePool("key scan", set->budget, OnExceed::kDeny, set->blocks);
  set->encode = MakePool("rewrite", set->budget, OnExceed::kRecord, set->blocks);
  set->spill = MakePool("spill", set->budget, OnExceed::kDeny, set->blocks);
  return MergePools(std::move(set));
}

MergePools::~MergePools() {
  if (!set_) return;
  set_->blocks->ReleaseUnused();
  if (set_->budget->used_bytes() != 0) return;
  FreeList* list = Free();
  std::lock_guard lock(list->mutex);
  list->sets.push_back(std::move(set_));
}

}  // namespace floodwall

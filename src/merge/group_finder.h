#pragma once

/// The row group of a position in the target: asked for in runs of neighbours.
///
/// Threading: one thread. Lifetime: borrows the groups.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "merge/target.h"

namespace floodwall {

class GroupFinder {
 public:
  /// In the order of the target; only groups that have rows.
  void Add(TargetRowGroup* group, int32_t partition) {
    starts_.push_back(group->first_row);
    groups_.push_back(group);
    partitions_.push_back(partition);
  }
  TargetRowGroup* GroupOf(int64_t position) { return groups_[Find(position)]; }
  int32_t PartitionOf(int64_t position) { return partitions_[Find(position)]; }

 private:
  size_t Find(int64_t position) {
    if (position < starts_[last_] ||
        (last_ + 1 < starts_.size() && position >= starts_[last_ + 1])) {
      const auto behind = std::upper_bound(starts_.begin(), starts_.end(), position);
      last_ = static_cast<size_t>(behind - starts_.begin() - 1);
    }
    return last_;
  }

  std::vector<int64_t> starts_;
  std::vector<TargetRowGroup*> groups_;
  std::vector<int32_t> partitions_;
  size_t last_ = 0;
};

}  // namespace floodwall

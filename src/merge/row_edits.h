#pragma once

/// The edits of one row group as ColumnRecoder takes them, made when the group is rewritten.
///
/// Threading: values. Memory: kBytesPerEdit for each replaced or removed row, beside the pools:
/// the rewrite counts it into what it needs before it starts.

#include <vector>

#include "merge/target.h"

namespace floodwall {

struct RowEdits {
  static constexpr int64_t kBytesPerEdit = 2 * sizeof(RowMatch);

  /// For columns that take the source's values: replaced and removed rows, ascending.
  const std::vector<RowMatch>& all() const { return merged.empty() ? *matches : merged; }
  /// For the others: removed rows only.
  std::vector<RowMatch> removals;
  /// The group's own while nothing is removed.
  const std::vector<RowMatch>* matches = nullptr;
  std::vector<RowMatch> merged;

  static RowEdits Of(const Target& target, const TargetRowGroup& group);
  static int64_t BytesOf(const TargetRowGroup& group) {
    return group.rows_left() == 0 || group.removed == 0
               ? 0
               : kBytesPerEdit * (group.replaced + group.removed);
  }
};

}  // namespace floodwall

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
  std::vector<RowMatch> all;
  /// For the others: removed rows only.
  std::vector<RowMatch> removals;

  static RowEdits Of(const Target& target, const TargetRowGroup& group);
  static int64_t BytesOf(const TargetRowGroup& group) {
    const auto edits = static_cast<int64_t>(group.matches.size()) + group.removed;
    return group.rows_left() == 0 ? 0 : kBytesPerEdit * edits;
  }
};

}  // namespace floodwall

#include "merge/row_edits.h"

namespace floodwall {

RowEdits RowEdits::Of(const Target& target, const TargetRowGroup& group) {
  RowEdits edits;
  edits.matches = &group.matches;
  if (group.removed == 0) return edits;
  edits.removals.reserve(static_cast<size_t>(group.removed));
  edits.merged.reserve(group.matches.size() + static_cast<size_t>(group.removed));
  auto match = group.matches.begin();
  for (int64_t row = 0; row < group.num_rows; ++row) {
    if (target.removed().Get(group.first_row + row)) {
      edits.removals.push_back({row, RowMatch::kRemoved});
      edits.merged.push_back(edits.removals.back());
    } else if (match != group.matches.end() && match->row == row) {
      edits.merged.push_back(*match++);
    }
  }
  return edits;
}

}  // namespace floodwall

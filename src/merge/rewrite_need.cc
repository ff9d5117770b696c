#include "merge/rewrite_need.h"

#include <algorithm>

#include "floodwall/bytes.h"
#include "merge/column_recoder.h"
#include "merge/field_recoder.h"
#include "merge/page_patcher.h"
#include "merge/row_edits.h"

namespace floodwall {
namespace {

/// Write buffer, indexes, Arrow's small change: beside the page memory of one rewrite.
constexpr int64_t kTaskOverhead = 2 * kMiB;

/// Memory that the edits of one chunk take.
arrow::Result<int64_t> EditNeed(const std::shared_ptr<ParquetSource>& file, int row_group, int leaf,
                                int64_t num_edits) {
  ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file, row_group, leaf));
  ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, ListPages(chunk));
  if (PagePatcher::CanPatch(chunk, pages)) return PagePatcher::Need(chunk, pages, num_edits);
  ARROW_ASSIGN_OR_RAISE(const PageSummary summary, file->ScanPages(row_group, leaf));
  return ColumnRecoder::EncodeNeed(summary, chunk.range.length, chunk.num_rows);
}

}  // namespace

arrow::Result<int64_t> TaskNeed(const TargetFile& target,
                                const std::shared_ptr<ParquetSource>& file,
                                const std::vector<FieldPlan>& plans) {
  int64_t need = 0;
  for (const FieldPlan& plan : plans) {
    for (size_t g = 0; plan.added && g < target.row_groups.size(); ++g) {
      ARROW_ASSIGN_OR_RAISE(const int64_t whole,
                            FieldRecoder::Need(*file, static_cast<int>(g), plan));
      need = std::max(need, whole);
    }
  }
  for (size_t g = 0; g < target.row_groups.size(); ++g) {
    const TargetRowGroup& rows = target.row_groups[g];
    if (!rows.touched() || rows.rows_left() == 0) continue;
    const int group = static_cast<int>(g);
    for (const FieldPlan& plan : plans) {
      if (!plan.replace && rows.removed == 0) continue;
      if (plan.nested) {
        ARROW_ASSIGN_OR_RAISE(const int64_t whole, FieldRecoder::Need(*file, group, plan));
        need = std::max(need, whole + RowEdits::BytesOf(rows));
        continue;
      }
      const int64_t edits = std::ssize(rows.matches) + rows.removed;
      ARROW_ASSIGN_OR_RAISE(const int64_t chunk, EditNeed(file, group, plan.leaf, edits));
      need = std::max(need, chunk + RowEdits::BytesOf(rows));
    }
  }
  return need + file->footer_need() + ParquetAssembler::Need(*file) + kTaskOverhead;
}

}  // namespace floodwall

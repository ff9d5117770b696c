#include "merge/rewrite_need.h"

#include <algorithm>

#include "floodwall/bytes.h"
#include "merge/column_recoder.h"
#include "merge/field_recoder.h"
#include "merge/page_patcher.h"
#include "merge/row_edits.h"
#include "spill/record_sorter.h"

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

/// Memory of the dearest column of a row group that may be edited in a file.
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

}  // namespace

int64_t RewriteNeed::SpilledMatches(bool resident) const {
  return group_rows * static_cast<int64_t>(sizeof(RowMatch)) +
         (resident ? RecordSorter::kMinimumBytes : kLeastShare);
}

arrow::Result<RewriteNeed> SumUpNeed(const Target& target, RowSource* source, RunContext* context) {
  RewriteNeed out;
  const arrow::Schema& schema = *source->schema();
  std::vector<bool> taken(static_cast<size_t>(schema.num_fields()), false);
  for (size_t f = 0; f < target.files().size(); ++f) {
    const TargetFile& file = target.files()[f];
    if (!file.touched && !file.gains_columns) continue;
    out.touched.push_back(f);
    out.total_bytes += file.file.version.size_bytes;
    out.total_rows += file.num_rows;
    ARROW_ASSIGN_OR_RAISE(
        auto opened, ParquetSource::Open(target.AbsolutePath(file), context->read_pool->budget()));
    const auto plans = PlanFields(*opened, schema, target, context->options);
    for (const FieldPlan& plan : plans) {
      if (plan.replace && plan.source_column >= 0) {
        taken[static_cast<size_t>(plan.source_column)] = true;
      }
    }
    ARROW_ASSIGN_OR_RAISE(const int64_t need, TaskNeed(file, opened, plans));
    out.task = std::max(out.task, need);
    for (const TargetRowGroup& group : file.row_groups) {
      out.group_rows = std::max(out.group_rows, group.replaced);
      out.all_rows += group.replaced;
    }
  }
  for (int c = 0; c < schema.num_fields(); ++c) {
    if (taken[static_cast<size_t>(c)]) out.columns.push_back(schema.field(c)->name());
  }
  // Where rows are only removed, the source's other columns are not looked at.
  double widest = 32;
  if (out.all_rows > 0) {
    ARROW_ASSIGN_OR_RAISE(const int64_t row_bytes, source->LoadedBytesPerRow());
    // Loading a row touches it twice for a moment (the batch and what is taken from it), beside
    // its ordinal.
    out.loaded_bytes = row_bytes == 0 ? 0 : out.all_rows * (row_bytes * 3 / 2 + 8);
    // New values of a slice exist as Arrow values and as Parquet pages at once, of one column.
    ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source->LogicalBytesPerValue());
    for (const double bytes : value_bytes) widest = std::max(widest, 2 * bytes);
  }
  out.task += 4 * std::min(out.group_rows, ColumnRecoder::kSliceRows) *
              static_cast<int64_t>(std::min(widest, 2048.0));
  return out;
}

}  // namespace floodwall

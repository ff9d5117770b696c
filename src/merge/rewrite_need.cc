#include "merge/rewrite_need.h"

#include <algorithm>

#include "dataset/patched_indexes.h"
#include "floodwall/bytes.h"
#include "merge/column_recoder.h"
#include "merge/field_recoder.h"
#include "merge/new_file.h"
#include "merge/new_values.h"
#include "merge/page_patcher.h"
#include "merge/row_edits.h"
#include "merge/strategy.h"
#include "spill/record_sorter.h"

namespace floodwall {
namespace {

/// Write buffer, indexes, Arrow's small change: beside the page memory of one rewrite.
constexpr int64_t kTaskOverhead = 2 * kMiB;
/// What matching by way of spill files takes beside bits.
constexpr int64_t kMatchRoom = 16 * kMiB;

/// Numbers that are cast to text.
constexpr int64_t kLongestCast = 64;

/// Longest values of the source's columns, asked for once.
class LongestValues {
 public:
  explicit LongestValues(RowSource* source)
      : source_(source), known_(static_cast<size_t>(source->schema()->num_fields()), -1) {}
  arrow::Result<int64_t> Of(const FieldPlan& plan, bool replaces) {
    if (!replaces || !plan.replace || plan.source_column < 0) return 0;
    int64_t& known = known_[static_cast<size_t>(plan.source_column)];
    if (known < 0) {
      ARROW_ASSIGN_OR_RAISE(known, source_->LongestValue(plan.source_column));
      known = std::max(known, kLongestCast);
    }
    return known;
  }

  arrow::Result<int64_t> AverageOf(const FieldPlan& plan) {
    if (plan.source_column < 0) return 0;
    if (averages_.empty()) {
      ARROW_ASSIGN_OR_RAISE(averages_, source_->LogicalBytesPerValue());
    }
    return static_cast<int64_t>(averages_[static_cast<size_t>(plan.source_column)]) + 1;
  }

 private:
  RowSource* source_;
  std::vector<int64_t> known_;
  std::vector<double> averages_;
};

/// What the edits of a chunk take.
struct ChunkNeed {
  int64_t work = 0;  ///< while it is written
  int64_t kept = 0;  ///< from then on, until its file ends
};

/// Of a chunk that is written anew, what the assembler keeps beside the indexes: its metadata,
/// where bounds may have become longer, and its bloom filter.
arrow::Result<int64_t> KeptBytes(const ParquetSource& file, int row_group, int leaf,
                                 int64_t longest) {
  ARROW_ASSIGN_OR_RAISE(const auto bloom, file.FindBloomFilter(row_group, leaf));
  return static_cast<int64_t>(sizeof(EncodedChunk)) +
         3 * file.row_group_bytes(row_group) / (int64_t{2} * file.num_columns()) +
         2 * std::min<int64_t>(longest, ValueBounds::kMaxBytes) + bloom.length;
}

arrow::Result<ChunkNeed> EditNeed(const std::shared_ptr<ParquetSource>& file, int row_group,
                                  int leaf, int64_t num_edits, int64_t longest, GuardedPool* pool) {
  ChunkNeed out;
  ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file, row_group, leaf));
  ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, SumUpPages(chunk));
  ARROW_ASSIGN_OR_RAISE(out.kept, KeptBytes(*file, row_group, leaf, longest));
  out.kept += PatchedIndexes::BytesAfter(chunk.tree, pages, num_edits, longest);
  if (PagePatcher::CanPatch(chunk, pages)) {
    ARROW_ASSIGN_OR_RAISE(out.work, PagePatcher::Need(chunk, pages, num_edits, longest, pool));
    return out;
  }
  ARROW_ASSIGN_OR_RAISE(const PageSummary summary, file->ScanPages(row_group, leaf));
  out.work = ColumnRecoder::EncodeNeed(summary, chunk.range.length, chunk.num_rows) +
             ColumnRecoder::ValuesNeed(num_edits, longest);
  return out;
}

/// A row group without its matches, and with the rows that count.
TargetRowGroup Counted(const TargetRowGroup& group, Assume assume, int64_t source_rows,
                       const MergeOptions& options) {
  TargetRowGroup out;
  out.num_rows = group.num_rows;
  out.replaced = group.replaced;
  out.removed = group.removed;
  if (assume == Assume::kEverything) {
    out.replaced = ReplacesRows(options.strategy) ? std::min(group.num_rows, source_rows) : 0;
    // One is left, or there would be nothing to write.
    out.removed = RemovesRows(options) ? std::max<int64_t>(0, group.num_rows - 1) : 0;
  }
  return out;
}

/// Memory of the dearest column of a row group that may be edited in a file.
arrow::Result<int64_t> TaskNeed(const TargetFile& target,
                                const std::shared_ptr<ParquetSource>& file,
                                const std::vector<FieldPlan>& plans, LongestValues* longest,
                                Assume assume, int64_t source_rows, RunContext* context) {
  int64_t need = 0;
  int64_t kept = 0;
  for (const FieldPlan& plan : plans) {
    for (size_t g = 0; plan.added && g < target.row_groups.size(); ++g) {
      ARROW_ASSIGN_OR_RAISE(const int64_t whole,
                            FieldRecoder::Need(*file, static_cast<int>(g), plan));
      need = std::max(need, whole);
    }
  }
  for (size_t g = 0; g < target.row_groups.size(); ++g) {
    const TargetRowGroup rows =
        Counted(target.row_groups[g], assume, source_rows, context->options);
    if (!rows.touched() || rows.rows_left() == 0) continue;
    const int group = static_cast<int>(g);
    for (const FieldPlan& plan : plans) {
      if (!plan.replace && rows.removed == 0) continue;
      ARROW_ASSIGN_OR_RAISE(const int64_t value, longest->Of(plan, rows.replaced > 0));
      if (plan.nested) {
        ARROW_ASSIGN_OR_RAISE(const int64_t whole, FieldRecoder::Need(*file, group, plan));
        // Of a batch, taken, cast, joined with the old ones and picked; encoded, until the chunk
        // ends. By their average: how long a row's list is, is not looked up.
        ARROW_ASSIGN_OR_RAISE(const int64_t average, longest->AverageOf(plan));
        const int64_t batch = std::min(ColumnRecoder::kSliceRows, rows.replaced);
        const int64_t values = (8 * batch + rows.replaced) * average + 4 * value;
        need = std::max(need, whole + values + RowEdits::BytesOf(rows));
        for (int i = 0; i < plan.leaf_count; ++i) {
          ARROW_ASSIGN_OR_RAISE(const int64_t leaf,
                                KeptBytes(*file, group, plan.leaf + i, INT64_MAX));
          kept += leaf;
        }
        continue;
      }
      const int64_t edits = rows.replaced + rows.removed;
      const int64_t width = FixedWidth(*file->schema().Column(plan.leaf));
      ARROW_ASSIGN_OR_RAISE(
          const ChunkNeed chunk,
          EditNeed(file, group, plan.leaf, edits, width > 0 ? width : value, context->read_pool));
      need = std::max(need, chunk.work + RowEdits::BytesOf(rows));
      kept += chunk.kept;
    }
  }
  ARROW_ASSIGN_OR_RAISE(const int64_t assembler, ParquetAssembler::Need(*file));
  return need + kept + file->footer_need() + assembler + kTaskOverhead;
}

}  // namespace

int64_t RewriteNeed::SpilledMatches(bool resident) const {
  return group_rows * static_cast<int64_t>(sizeof(RowMatch)) +
         (resident ? RecordSorter::kMinimumBytes : kLeastShare);
}

arrow::Result<RewriteNeed> SumUpNeed(const Target& target, RowSource* source, RunContext* context,
                                     Assume assume) {
  RewriteNeed out;
  const arrow::Schema& schema = *source->schema();
  LongestValues longest(source);
  std::vector<bool> taken(static_cast<size_t>(schema.num_fields()), false);
  for (size_t f = 0; f < target.files().size(); ++f) {
    const TargetFile& file = target.files()[f];
    if (assume == Assume::kMatched && !file.touched && !file.gains_columns) continue;
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
    ARROW_ASSIGN_OR_RAISE(const int64_t need, TaskNeed(file, opened, plans, &longest, assume,
                                                       source->num_rows(), context));
    out.task = std::max(out.task, need);
    for (const TargetRowGroup& row_group : file.row_groups) {
      const int64_t replaced =
          Counted(row_group, assume, source->num_rows(), context->options).replaced;
      out.group_rows = std::max(out.group_rows, replaced);
      out.all_rows += replaced;
    }
  }
  for (int c = 0; c < schema.num_fields(); ++c) {
    if (taken[static_cast<size_t>(c)]) out.columns.push_back(schema.field(c)->name());
  }
  // Where rows are only removed, the source's other columns are not looked at.
  if (out.all_rows > 0) {
    ARROW_ASSIGN_OR_RAISE(const int64_t row_bytes, source->LoadedBytesPerRow());
    // Loading a row touches it twice for a moment (the batch and what is taken from it), beside
    // its ordinal.
    out.loaded_bytes = row_bytes == 0 ? 0 : out.all_rows * (row_bytes * 3 / 2 + 8);
  }
  return out;
}

arrow::Result<int64_t> WholeNeed(const Target& target, RowSource* source, int64_t held,
                                 RunContext* context) {
  const MergeOptions& options = context->options;
  const int64_t rows = source->num_rows();
  const bool partitioned = !target.partitions().columns().empty();
  int64_t reading = 0;
  int64_t keys_reading = 0;
  int64_t longest = NewFile::kSliceBytes;
  for (int c = 0; c < source->schema()->num_fields(); ++c) {
    const std::string& name = source->schema()->field(c)->name();
    ARROW_ASSIGN_OR_RAISE(const int64_t column, source->ReadNeed({name}));
    ARROW_ASSIGN_OR_RAISE(const int64_t value, source->LongestValue(c));
    reading = std::max(reading, column);
    longest = std::max(longest, value);
    const auto reads = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (reads(options.key_columns) || reads(options.order_by)) keys_reading += column;
  }
  // Bits and partitions of rows, which stay until the end.
  const int64_t kept = held + rows + target.num_rows() / 8 + (partitioned ? 12 * rows : 0);
  const int64_t match = kMatchRoom + target.scan_need() + 2 * keys_reading;
  ARROW_ASSIGN_OR_RAISE(const RewriteNeed need,
                        SumUpNeed(target, source, context, Assume::kEverything));
  const int64_t rewrite = need.task + 3 * reading + 2 * longest + kMatchRoom +
                          3 * need.group_rows * static_cast<int64_t>(sizeof(RowMatch));
  int64_t insert = NewFile::kEncoderBytes + 6 * longest + reading;
  if (partitioned && !source->resident()) {
    ARROW_ASSIGN_OR_RAISE(const int64_t loaded, source->LoadedBytesPerRow());
    insert += (2 * loaded + 24) * std::min(rows, FileStyle::kMaxGroupRows);
  }
  const int64_t most = kept + std::max({match, rewrite, insert});
  return most + most / 8;
}

arrow::Result<int64_t> WholeRowGroupNeed(const std::shared_ptr<ParquetSource>& file,
                                         GuardedPool* pool) {
  const parquet::SchemaDescriptor& schema = file->schema();
  int64_t need = 0;
  for (int g = 0; g < file->num_row_groups(); ++g) {
    const int64_t rows = file->row_group_rows(g);
    int64_t kept = 0;
    int64_t work = 0;
    for (int leaf = 0; leaf < schema.num_columns();) {
      const auto* root = schema.GetColumnRoot(leaf);
      FieldPlan plan;
      plan.leaf = leaf;
      plan.leaf_count = 0;
      plan.nested = root->is_group() || root->is_repeated();
      for (; leaf < schema.num_columns() && schema.GetColumnRoot(leaf) == root; ++leaf) {
        ++plan.leaf_count;
      }
      if (plan.nested) {
        ARROW_ASSIGN_OR_RAISE(const int64_t column, FieldRecoder::Need(*file, g, plan));
        work = std::max(work, column);
        continue;
      }
      const int64_t width = FixedWidth(*schema.Column(plan.leaf));
      ARROW_ASSIGN_OR_RAISE(
          const ChunkNeed column,
          EditNeed(file, g, plan.leaf, rows, width > 0 ? width : kLongestCast, pool));
      work = std::max(work, column.work);
      kept += column.kept;
    }
    need = std::max(need, work + kept);
  }
  ARROW_ASSIGN_OR_RAISE(const int64_t assembler, ParquetAssembler::Need(*file));
  return need + file->footer_need() + assembler + kTaskOverhead;
}

}  // namespace floodwall

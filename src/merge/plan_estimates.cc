#include "merge/plan_estimates.h"

#include <algorithm>

#include "floodwall/bytes.h"
#include "merge/field_plan.h"
#include "merge/new_file.h"
#include "merge/page_patcher.h"
#include "merge/spilled_match.h"
#include "spill/record_sorter.h"

namespace floodwall {
namespace {

/// Small change that is allocated beside what is counted.
constexpr int64_t kMargin = kMiB;
/// A batch of keys in their encoded form.
constexpr int64_t kKeyBatchBytes = 2 * kMiB;
/// A spilled position, before and after it is sorted.
constexpr int64_t kSpilledPositionBytes = 2 * static_cast<int64_t>(sizeof(SpillRecord));
/// The footer of a new file, and of a chunk of nulls.
constexpr int64_t kSmallFooterBytes = 512;

int64_t ChunkBytes(const ParquetSource& file, int row_group, const FieldPlan& plan) {
  int64_t bytes = 0;
  for (int i = 0; i < plan.leaf_count; ++i) {
    bytes += file.chunk_range(row_group, plan.leaf + i).length;
  }
  return bytes;
}

/// Dictionaries stay whole when rows go away and pages are patched.
arrow::Result<int64_t> DictionaryBytes(const std::shared_ptr<ParquetSource>& file, int row_group,
                                       const FieldPlan& plan) {
  if (plan.nested) return 0;
  ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file, row_group, plan.leaf));
  ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, SumUpPages(chunk));
  const bool patched = pages.dictionary && PagePatcher::CanPatch(chunk, pages);
  return patched ? pages.dictionary->compressed_bytes : 0;
}

int64_t Share(int64_t bytes, int64_t part, int64_t whole) {
  return whole == 0 ? 0
                    : static_cast<int64_t>(static_cast<double>(bytes) * static_cast<double>(part) /
                                           static_cast<double>(whole));
}

}  // namespace

int64_t PhaseNeeds::MatchInMemory() const {
  // Keys and matches take one half at most, what reads them the other.
  return fixed + 2 * std::max(keys + 2 * matches, key_pages + kKeyBatchBytes) + kMargin;
}

int64_t PhaseNeeds::InMemory() const {
  int64_t need = std::max(MatchInMemory(), fixed + matches + insert);
  if (!rewrite.touched.empty()) {
    const int64_t at_once = fixed + matches + rewrite.task + rewrite.loaded_bytes + source_pages;
    const int64_t routed = fixed + rewrite.task + rewrite.SpilledMatches(false) + source_pages;
    need = std::max(need, resident ? at_once : std::min(at_once, routed));
  }
  return need;
}

int64_t PhaseNeeds::Spilled() const {
  // A part of what is free stays for the pages of key columns.
  const int64_t room =
      std::max<int64_t>(4 * kSpilledReadRoom, 8 * (key_pages + kMiB - kSpilledReadRoom));
  int64_t need = std::max(fixed + room, fixed + insert);
  if (!rewrite.touched.empty()) {
    const int64_t least = fixed + rewrite.task + rewrite.SpilledMatches(resident) + source_pages;
    // Positions that are sorted in memory stay there.
    need = std::max(need, resident ? least + least / 7 : least);
  }
  return need + kMargin;
}

int64_t PhaseNeeds::Minimum() const {
  int64_t need = InMemory();
  // With more than this the keys are matched in memory in any case.
  const int64_t in_memory_from = held + 2 * (keys + matches);
  const int64_t spilled = Spilled();
  if (spilled < in_memory_from) need = std::min(need, spilled);
  need = std::max(need, opened);
  return need + need / 16;
}

void FileEstimate::Add(const FileEstimate& other) {
  read += other.read;
  written += other.written;
  copied += other.copied;
  encoded += other.encoded;
}

arrow::Result<FileEstimate> EstimateRewrite(const Target& target, const TargetFile& file,
                                            RowSource* source, RunContext* context) {
  FileEstimate out;
  ARROW_ASSIGN_OR_RAISE(
      auto opened, ParquetSource::Open(target.AbsolutePath(file), context->read_pool->budget()));
  ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source->LogicalBytesPerValue());
  const auto plans = PlanFields(*opened, *source->schema(), target, context->options);
  // Footer, indexes and filters stay about as large as they are.
  out.written = file.file.version.size_bytes;
  for (size_t g = 0; g < file.row_groups.size(); ++g) {
    const TargetRowGroup& group = file.row_groups[g];
    for (const FieldPlan& plan : plans) {
      if (plan.added) {
        const double value = value_bytes[static_cast<size_t>(plan.source_column)];
        const int64_t bytes = kSmallFooterBytes / 4 +
                              static_cast<int64_t>(value * static_cast<double>(group.replaced));
        out.encoded += bytes;
        out.written += bytes + kSmallFooterBytes / 4;
        continue;
      }
      const int64_t bytes = ChunkBytes(*opened, static_cast<int>(g), plan);
      if (!group.touched() || (group.removed == 0 && !plan.replace)) {
        out.copied += bytes;
        continue;
      }
      int64_t kept = 0;
      if (group.removed > 0 && group.rows_left() > 0) {
        ARROW_ASSIGN_OR_RAISE(kept, DictionaryBytes(opened, static_cast<int>(g), plan));
      }
      const int64_t left = kept + Share(bytes - kept, group.rows_left(), group.num_rows);
      out.written -= bytes - left;
      out.encoded += left;
      // A row group that goes away altogether is not read.
      if (group.rows_left() > 0) out.read += bytes;
    }
  }
  return out;
}

arrow::Result<int64_t> EstimateInsert(const Target& target, RowSource* source, int64_t rows) {
  if (rows == 0) return 0;
  double row_bytes = 0;
  if (target.num_rows() > 0) {
    row_bytes = static_cast<double>(target.size_bytes()) / static_cast<double>(target.num_rows());
  } else if (source->size_bytes() > 0) {
    row_bytes = static_cast<double>(source->size_bytes()) / static_cast<double>(source->num_rows());
  } else {
    ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source->LogicalBytesPerValue());
    for (const double bytes : value_bytes) row_bytes += bytes;
  }
  return kSmallFooterBytes + static_cast<int64_t>(row_bytes * static_cast<double>(rows));
}

arrow::Result<int64_t> EstimateRouting(RowSource* source, const RewriteNeed& rewrite) {
  ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source->LogicalBytesPerValue());
  double row_bytes = static_cast<double>(kSpilledPositionBytes);
  for (const std::string& name : rewrite.columns) {
    row_bytes += value_bytes[static_cast<size_t>(source->schema()->GetFieldIndex(name))];
  }
  return static_cast<int64_t>(row_bytes * static_cast<double>(rewrite.all_rows));
}

arrow::Result<int64_t> InsertNeed(const Target& target, RowSource* source, bool by_partition,
                                  int64_t rows, RunContext* context) {
  if (rows == 0) return 0;
  int64_t column = 0;
  int64_t longest = NewFile::kSliceBytes;
  double row_bytes = 0;
  ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source->LogicalBytesPerValue());
  for (int c = 0; c < source->schema()->num_fields(); ++c) {
    const std::string& name = source->schema()->field(c)->name();
    if (target.partitions().IndexOf(name) >= 0) continue;
    ARROW_ASSIGN_OR_RAISE(const int64_t need, source->ReadNeed({name}));
    column = std::max(column, need);
    ARROW_ASSIGN_OR_RAISE(const int64_t value, source->LongestValue(c));
    longest = std::max(longest, value);
    row_bytes += value_bytes[static_cast<size_t>(c)];
  }
  int64_t need = NewFile::kEncoderBytes + 6 * longest + column;
  if (!by_partition) return need;
  need += 8 * rows;
  if (source->resident()) return need;
  // Columns of a partition's scattered rows are not read one after another.
  ARROW_ASSIGN_OR_RAISE(const int64_t loaded, source->LoadedBytesPerRow());
  const auto group = static_cast<int64_t>(static_cast<double>(context->options.row_group_bytes) /
                                          std::max(row_bytes, 1.0));
  const int64_t most = std::min({rows, std::max<int64_t>(1, group), FileStyle::kMaxGroupRows,
                                 context->options.max_rows_per_file});
  return need + (2 * loaded + 24) * most;
}

arrow::Result<int64_t> KeyReadNeed(const Target& target, RowSource* source, RunContext* context) {
  const auto& keys = context->options.key_columns;
  ARROW_ASSIGN_OR_RAISE(int64_t most, source->ReadNeed(keys));
  constexpr int64_t kStreamBuffer = 64 * kKiB;
  constexpr int64_t kBatchRows = 32768;
  for (const TargetFile& entry : target.files()) {
    ARROW_ASSIGN_OR_RAISE(
        auto file, ParquetSource::Open(target.AbsolutePath(entry), context->read_pool->budget()));
    for (int g = 0; g < file->num_row_groups(); ++g) {
      int64_t need = file->footer_need();
      const int64_t rows = std::max<int64_t>(1, file->row_group_rows(g));
      for (int leaf = 0; leaf < file->num_columns(); ++leaf) {
        const std::string& name = file->schema().GetColumnRoot(leaf)->name();
        if (std::find(keys.begin(), keys.end(), name) == keys.end()) continue;
        ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file->ScanPages(g, leaf));
        ARROW_ASSIGN_OR_RAISE(const auto metadata, file->RowGroupMetadata(g));
        const int64_t value =
            metadata->RowGroup(0)->ColumnChunk(leaf)->total_uncompressed_size() / rows + 16;
        need += kStreamBuffer + pages.max_compressed_bytes + 2 * pages.max_uncompressed_bytes +
                2 * pages.dictionary_uncompressed_bytes + 2 * std::min(kBatchRows, rows) * value;
      }
      most = std::max(most, need);
    }
  }
  return most;
}

}  // namespace floodwall

#include "merge/target_matching.h"

#include <algorithm>
#include <mutex>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/parquet_rows.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

constexpr int64_t kKeyBatchRows = 32768;
constexpr size_t kExamples = 10;

class Matcher {
 public:
  Matcher(const SourceKeys& keys, Target* target, RowBitmap* matched, RunContext* context)
      : keys_(keys),
        target_(target),
        matched_(matched),
        context_(context),
        strategy_(context->options.strategy),
        duplicates_(DuplicatesPolicy(context->options)) {}

  arrow::Status MatchFile(TargetFile* file) {
    ARROW_ASSIGN_OR_RAISE(auto source, ParquetSource::Open(target_->AbsolutePath(*file),
                                                           context_->read_pool->budget()));
    KeyEncoder encoder(&keys_.schema, context_->read_pool);
    KeyBatch batch_keys(context_->read_pool);
    for (size_t g = 0; g < file->row_groups.size(); ++g) {
      TargetRowGroup& group = file->row_groups[g];
      int64_t row = 0;
      ARROW_RETURN_NOT_OK(ReadKeys(source, static_cast<int>(g), {}, context_,
                                   [&](const arrow::RecordBatch& batch) -> arrow::Status {
                                     ARROW_RETURN_NOT_OK(
                                         encoder.Encode(batch.columns(), &batch_keys));
                                     ARROW_RETURN_NOT_OK(Decide(batch, batch_keys, row, &group));
                                     row += batch.num_rows();
                                     return arrow::Status::OK();
                                   }));
      group.matches.shrink_to_fit();
    }
    return arrow::Status::OK();
  }

  /// Of the matches of one source row, in the order of the dataset, the first stays.
  arrow::Status Collapse(int64_t source_rows) {
    ARROW_ASSIGN_OR_RAISE(RowBitmap seen, RowBitmap::Make(source_rows, context_->index_pool));
    for (TargetFile& file : target_->files()) {
      for (TargetRowGroup& group : file.row_groups) {
        std::erase_if(group.matches, [&](const RowMatch& match) {
          if (seen.Set(match.ordinal)) return false;
          target_->removed().Set(group.first_row + match.row);
          return true;
        });
      }
    }
    return arrow::Status::OK();
  }

  arrow::Status CheckDuplicates() {
    if (duplicate_rows_ == 0) return arrow::Status::OK();
    auto detail = std::make_shared<ErrorDetail>(ErrorKind::kDuplicateKey);
    std::sort(examples_.begin(), examples_.end());
    detail->examples = examples_;
    return MakeError(std::move(detail),
                     "the target has duplicate keys: " + std::to_string(duplicate_rows_) +
                         " rows share the key of a source row with another, such as " +
                         examples_.front());
  }

 private:
  arrow::Status Decide(const arrow::RecordBatch& batch, const KeyBatch& batch_keys, int64_t row,
                       TargetRowGroup* group) {
    std::vector<int64_t> found(static_cast<size_t>(batch_keys.length));
    keys_.index->Find(batch_keys, found.data());
    const bool nulls_never = context_->options.null_keys == NullKeys::kNever;
    const size_t known = group->matches.size();
    for (int64_t i = 0; i < batch_keys.length; ++i) {
      int64_t ordinal = found[static_cast<size_t>(i)];
      if (nulls_never && batch_keys.has_null[static_cast<size_t>(i)] != 0) {
        ordinal = KeyIndex::kNone;
      }
      if (ordinal == KeyIndex::kNone) {
        if (strategy_ == MergeStrategy::kFullMerge) {
          target_->removed().Set(group->first_row + row + i);
        }
        continue;
      }
      const bool first = matched_->Set(ordinal);
      if (!first && duplicates_ == TargetDuplicates::kError) NoteDuplicate(batch, i);
      if (strategy_ == MergeStrategy::kDelete) {
        target_->removed().Set(group->first_row + row + i);
      } else if (ReplacesRows(strategy_)) {
        group->matches.push_back({row + i, ordinal});
      }
    }
    // The vectors are outside the pools: seen against the budget batch by batch, charged
    // exactly when matching is done.
    const auto unflushed = static_cast<int64_t>((group->matches.size() - known) * sizeof(RowMatch));
    if (2 * unflushed > context_->budget->available_bytes()) {
      return context_->TooSmall("the positions of the matched rows do not fit",
                                context_->options.max_memory_bytes +
                                    target_->num_rows() * static_cast<int64_t>(sizeof(RowMatch)));
    }
    return arrow::Status::OK();
  }

  void NoteDuplicate(const arrow::RecordBatch& batch, int64_t row) {
    std::lock_guard lock(mutex_);
    ++duplicate_rows_;
    if (examples_.size() < kExamples) {
      examples_.push_back(PrintKey(keys_.schema, batch.columns(), row));
    }
  }

  const SourceKeys& keys_;
  Target* target_;
  RowBitmap* matched_;
  RunContext* context_;
  MergeStrategy strategy_;
  TargetDuplicates duplicates_;
  std::mutex mutex_;
  int64_t duplicate_rows_ = 0;
  std::vector<std::string> examples_;
};

}  // namespace

arrow::Result<TargetMatch> MatchTarget(const SourceKeys& keys, int64_t source_rows, int threads,
                                       Target* target, RunContext* context) {
  context->progress.StartPhase("match", 0, target->num_rows());
  TargetMatch out;
  ARROW_ASSIGN_OR_RAISE(out.matched, RowBitmap::Make(source_rows, context->index_pool));
  if (RemovesRows(context->options)) ARROW_RETURN_NOT_OK(target->AllowRemovals(context));
  Matcher matcher(keys, target, &out.matched, context);
  auto& files = target->files();
  // Threads share the budget: no more of them than footers fit.
  int workers = threads;
  while (workers > 1 && workers * target->scan_need() > context->budget->available_bytes()) {
    --workers;
  }
  ARROW_RETURN_NOT_OK(ParallelFor(workers, static_cast<int64_t>(files.size()), [&](int64_t i) {
    return matcher.MatchFile(&files[static_cast<size_t>(i)]);
  }));
  ARROW_RETURN_NOT_OK(matcher.CheckDuplicates());
  if (DuplicatesPolicy(context->options) == TargetDuplicates::kCollapse) {
    ARROW_RETURN_NOT_OK(matcher.Collapse(source_rows));
  }
  ARROW_ASSIGN_OR_RAISE(out.removed, target->SumUp(context));
  return out;
}

arrow::Status ReadKeys(const std::shared_ptr<ParquetSource>& file, int row_group,
                       const std::vector<std::string>& more, RunContext* context,
                       const std::function<arrow::Status(const arrow::RecordBatch&)>& visit) {
  std::vector<std::string> names = context->options.key_columns;
  names.insert(names.end(), more.begin(), more.end());
  ARROW_RETURN_NOT_OK(ReadRowGroup(file, row_group, names, kKeyBatchRows, context->read_pool,
                                   [&](const arrow::RecordBatch& batch) -> arrow::Status {
                                     ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
                                     return visit(batch);
                                   }));
  int64_t bytes = 0;
  for (int c = 0; c < file->num_columns(); ++c) {
    const std::string& name = file->schema().GetColumnRoot(c)->name();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      bytes += file->chunk_range(row_group, c).length;
    }
  }
  context->bytes_read += bytes;
  context->progress.Advance(bytes, file->row_group_rows(row_group));
  return arrow::Status::OK();
}

}  // namespace floodwall

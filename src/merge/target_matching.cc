#include "merge/target_matching.h"

#include <algorithm>
#include <mutex>

#include "arrow/array/util.h"
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
  Matcher(const SourceKeys& keys, const SourcePartitions& partitions, Target* target,
          TargetMatch* out, RunContext* context)
      : keys_(keys),
        partitions_(partitions),
        target_(target),
        out_(out),
        context_(context),
        strategy_(context->options.strategy),
        duplicates_(DuplicatesPolicy(context->options)) {}

  arrow::Status MatchFile(size_t index) {
    TargetFile* file = &target_->files()[index];
    if (!partitions_.Reaches(index)) {
      if (strategy_ != MergeStrategy::kFullMerge) return arrow::Status::OK();
      for (const TargetRowGroup& group : file->row_groups) RemoveAll(group);
      return arrow::Status::OK();
    }
    ARROW_ASSIGN_OR_RAISE(auto source, ParquetSource::Open(target_->AbsolutePath(*file),
                                                           context_->read_pool->budget()));
    KeyEncoder encoder(&keys_.schema, context_->read_pool);
    KeyBatch batch_keys(context_->read_pool);
    for (size_t g = 0; g < file->row_groups.size(); ++g) {
      TargetRowGroup& group = file->row_groups[g];
      ARROW_ASSIGN_OR_RAISE(
          const KeptRows kept,
          FindKeptRows(keys_.ranges, source, static_cast<int>(g), context_->read_pool));
      if (strategy_ == MergeStrategy::kFullMerge) RemoveOthers(group, kept);
      ARROW_RETURN_NOT_OK(
          ReadKeptKeys(*target_, *file, source, static_cast<int>(g), {}, kept, context_,
                       [&](int64_t row, const arrow::RecordBatch& batch) -> arrow::Status {
                         ARROW_RETURN_NOT_OK(encoder.Encode(batch.columns(), &batch_keys));
                         return Decide(batch, batch_keys, row, file->partition, &group);
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

  /// Positions are counted from here on, until the matcher is gone.
  arrow::Status StartCharging() {
    return Reservation::Make(context_->index_pool->budget(), 0).Value(&charge_);
  }
  void StopCharging() { charge_ = Reservation(); }

  arrow::Status CheckPolicies() {
    if (duplicates_seen_.rows > 0) {
      return duplicates_seen_.Refuse(ErrorKind::kDuplicateKey, "the target has duplicate keys: ",
                                     " rows share the key of a source row with another, such as ");
    }
    if (moves_seen_.rows > 0) {
      return moves_seen_.Refuse(ErrorKind::kPartitionMove,
                                "partition column values cannot change for existing keys: ",
                                " rows would move to another partition, such as ");
    }
    return arrow::Status::OK();
  }

 private:
  /// Rows that a policy forbids.
  struct Seen {
    int64_t rows = 0;
    std::vector<std::string> examples;

    arrow::Status Refuse(ErrorKind kind, const std::string& before, const std::string& after) {
      auto detail = std::make_shared<ErrorDetail>(kind);
      std::sort(examples.begin(), examples.end());
      detail->examples = examples;
      return MakeError(std::move(detail), before + std::to_string(rows) + after + examples.front());
    }
  };

  void RemoveAll(const TargetRowGroup& group) {
    for (int64_t row = 0; row < group.num_rows; ++row) {
      target_->removed().Set(group.first_row + row);
    }
  }

  /// Rows that are not kept match nothing.
  void RemoveOthers(const TargetRowGroup& group, const KeptRows& kept) {
    int64_t row = 0;
    const auto remove = [&](int64_t end) {
      for (; row < end; ++row) target_->removed().Set(group.first_row + row);
    };
    for (const RowRange& range : kept.ranges) {
      remove(range.begin);
      row = range.end;
    }
    remove(group.num_rows);
  }

  arrow::Status Decide(const arrow::RecordBatch& batch, const KeyBatch& batch_keys, int64_t row,
                       int32_t partition, TargetRowGroup* group) {
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
      const bool first = out_->matched.Set(ordinal);
      if (!first && duplicates_ == TargetDuplicates::kError) Note(batch, i, &duplicates_seen_);
      if (strategy_ == MergeStrategy::kDelete) {
        target_->removed().Set(group->first_row + row + i);
      } else if (!ReplacesRows(strategy_)) {
        continue;
      } else if (partitions_.known() && partitions_.Of(ordinal) != partition) {
        if (context_->options.partition_moves == PartitionMoves::kError) {
          Note(batch, i, &moves_seen_);
        }
        out_->moved->Set(ordinal);
        target_->removed().Set(group->first_row + row + i);
      } else {
        group->matches.push_back({row + i, ordinal});
      }
    }
    // The vectors are outside the pools, and grow by doubling: charged so batch by batch, and
    // exactly when matching is done.
    const auto grown = static_cast<int64_t>((group->matches.size() - known) * sizeof(RowMatch));
    std::lock_guard lock(mutex_);
    if (!charge_.Resize(charge_.bytes() + 2 * grown).ok()) {
      return context_->TooSmall("the positions of the matched rows do not fit",
                                context_->options.max_memory_bytes +
                                    target_->num_rows() * static_cast<int64_t>(sizeof(RowMatch)));
    }
    return arrow::Status::OK();
  }

  void Note(const arrow::RecordBatch& batch, int64_t row, Seen* seen) {
    std::lock_guard lock(mutex_);
    ++seen->rows;
    if (seen->examples.size() < kExamples) {
      seen->examples.push_back(PrintKey(keys_.schema, batch.columns(), row));
    }
  }

  const SourceKeys& keys_;
  const SourcePartitions& partitions_;
  Target* target_;
  TargetMatch* out_;
  RunContext* context_;
  MergeStrategy strategy_;
  TargetDuplicates duplicates_;
  std::mutex mutex_;
  Seen duplicates_seen_;
  Seen moves_seen_;
  Reservation charge_;
};

}  // namespace

arrow::Result<TargetMatch> MatchTarget(const SourceKeys& keys, const SourcePartitions& partitions,
                                       int64_t source_rows, int threads, Target* target,
                                       RunContext* context) {
  context->progress.StartPhase("match", 0, target->num_rows());
  TargetMatch out;
  ARROW_ASSIGN_OR_RAISE(out.matched, RowBitmap::Make(source_rows, context->index_pool));
  const bool moves = partitions.known() && ReplacesRows(context->options.strategy);
  if (moves) {
    ARROW_ASSIGN_OR_RAISE(out.moved, RowBitmap::Make(source_rows, context->index_pool));
  }
  if (moves || RemovesRows(context->options)) ARROW_RETURN_NOT_OK(target->AllowRemovals(context));
  Matcher matcher(keys, partitions, target, &out, context);
  ARROW_RETURN_NOT_OK(matcher.StartCharging());
  // Threads share the budget: no more of them than footers fit.
  int workers = threads;
  while (workers > 1 && workers * target->scan_need() > context->budget->available_bytes()) {
    --workers;
  }
  ARROW_RETURN_NOT_OK(
      ParallelFor(workers, static_cast<int64_t>(target->files().size()),
                  [&](int64_t i) { return matcher.MatchFile(static_cast<size_t>(i)); }));
  ARROW_RETURN_NOT_OK(matcher.CheckPolicies());
  if (DuplicatesPolicy(context->options) == TargetDuplicates::kCollapse) {
    ARROW_RETURN_NOT_OK(matcher.Collapse(source_rows));
  }
  if (moves) {
    // A copy in the right partition takes the values: no other is needed.
    for (const TargetFile& file : target->files()) {
      for (const TargetRowGroup& group : file.row_groups) {
        for (const RowMatch& match : group.matches) out.moved->Clear(match.ordinal);
      }
    }
  }
  matcher.StopCharging();
  ARROW_ASSIGN_OR_RAISE(out.removed, target->SumUp(context));
  return out;
}

arrow::Status ForEachTargetKey(
    const Target& target, const KeySchema& schema, const KeyRanges& ranges, RunContext* context,
    const std::function<arrow::Status(const KeyBatch&, int64_t first)>& visit) {
  KeyEncoder encoder(&schema, context->read_pool);
  KeyBatch keys(context->read_pool);
  for (const TargetFile& file : target.files()) {
    ARROW_ASSIGN_OR_RAISE(
        auto opened, ParquetSource::Open(target.AbsolutePath(file), context->read_pool->budget()));
    for (size_t g = 0; g < file.row_groups.size(); ++g) {
      const int64_t first = file.row_groups[g].first_row;
      ARROW_ASSIGN_OR_RAISE(const KeptRows kept,
                            FindKeptRows(ranges, opened, static_cast<int>(g), context->read_pool));
      ARROW_RETURN_NOT_OK(
          ReadKeptKeys(target, file, opened, static_cast<int>(g), {}, kept, context,
                       [&](int64_t row, const arrow::RecordBatch& batch) -> arrow::Status {
                         ARROW_RETURN_NOT_OK(encoder.Encode(batch.columns(), &keys));
                         return visit(keys, first + row);
                       }));
    }
  }
  return arrow::Status::OK();
}

arrow::Status ReadKeys(const Target& target, const TargetFile& file,
                       const std::shared_ptr<ParquetSource>& opened, int row_group,
                       const std::vector<std::string>& more, RunContext* context,
                       const std::function<arrow::Status(const arrow::RecordBatch&)>& visit) {
  KeptRows all;
  all.ranges = {{0, opened->row_group_rows(row_group)}};
  return ReadKeptKeys(target, file, opened, row_group, more, all, context,
                      [&](int64_t, const arrow::RecordBatch& batch) { return visit(batch); });
}

arrow::Status ReadKeptKeys(
    const Target& target, const TargetFile& file, const std::shared_ptr<ParquetSource>& opened,
    int row_group, const std::vector<std::string>& more, const KeptRows& kept, RunContext* context,
    const std::function<arrow::Status(int64_t row, const arrow::RecordBatch&)>& visit) {
  const int64_t all_rows = opened->row_group_rows(row_group);
  context->bytes_read += kept.bytes_read;
  if (kept.ranges.empty()) {
    context->progress.Advance(kept.bytes_read, all_rows);
    return context->progress.CheckCancelled();
  }
  std::vector<std::string> names = context->options.key_columns;
  names.insert(names.end(), more.begin(), more.end());
  std::vector<std::string> stored;
  for (const std::string& name : names) {
    if (target.partitions().IndexOf(name) < 0) stored.push_back(name);
  }
  const auto visit_whole = [&](int64_t row, int64_t rows,
                               const arrow::RecordBatch* batch) -> arrow::Status {
    ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
    if (batch != nullptr && stored.size() == names.size()) return visit(row, *batch);
    arrow::FieldVector fields;
    arrow::ArrayVector arrays;
    for (const std::string& name : names) {
      const int column = target.partitions().IndexOf(name);
      std::shared_ptr<arrow::Array> values;
      if (column < 0) {
        values = batch->GetColumnByName(name);
      } else {
        ARROW_ASSIGN_OR_RAISE(
            values, arrow::MakeArrayFromScalar(*target.partitions().value(file.partition, column),
                                               rows, context->read_pool));
      }
      fields.push_back(arrow::field(name, values->type()));
      arrays.push_back(std::move(values));
    }
    return visit(row, *arrow::RecordBatch::Make(arrow::schema(fields), rows, std::move(arrays)));
  };
  if (stored.empty()) {
    for (const RowRange& range : kept.ranges) {
      for (int64_t row = range.begin; row < range.end; row += kKeyBatchRows) {
        ARROW_RETURN_NOT_OK(visit_whole(row, std::min(kKeyBatchRows, range.end - row), nullptr));
      }
    }
  } else {
    ARROW_RETURN_NOT_OK(ReadRows(opened, row_group, stored, kKeyBatchRows, context->read_pool,
                                 kept.ranges, kept.pages.get(),
                                 [&](int64_t row, const arrow::RecordBatch& batch) {
                                   return visit_whole(row, batch.num_rows(), &batch);
                                 }));
  }
  int64_t bytes = kept.pages != nullptr ? kept.pages->bytes() : 0;
  for (int c = 0; kept.pages == nullptr && c < opened->num_columns(); ++c) {
    const std::string& name = opened->schema().GetColumnRoot(c)->name();
    if (std::find(stored.begin(), stored.end(), name) != stored.end()) {
      bytes += opened->chunk_range(row_group, c).length;
    }
  }
  context->bytes_read += bytes;
  context->progress.Advance(bytes + kept.bytes_read, all_rows);
  return arrow::Status::OK();
}

}  // namespace floodwall

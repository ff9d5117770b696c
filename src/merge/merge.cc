#include "floodwall/merge.h"

#include <cerrno>
#include <chrono>
#include <optional>

#include "arrow/compute/initialize.h"
#include "arrow/table.h"
#include "dataset/commit.h"
#include "dataset/exchange.h"
#include "dataset/tree.h"
#include "floodwall/error.h"
#include "merge/insert.h"
#include "merge/key_matching.h"
#include "merge/merge_checks.h"
#include "merge/merge_with.h"
#include "merge/plan_estimates.h"
#include "merge/publication.h"
#include "merge/recorded_result.h"
#include "merge/rewrite.h"
#include "merge/rewrite_need.h"
#include "merge/row_source.h"
#include "merge/source_partitions.h"
#include "merge/strategy.h"
#include "merge/stream_rows.h"
#include "merge/target_duplicates.h"
#include "merge/target_matching.h"

namespace floodwall {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Beyond the limit, while the minimum of a refusal is counted: footers and page headers are looked
/// at again, which the limit may have no room for.
constexpr int64_t kCountingRoom = 8 * kMiB;
/// Named where it cannot be counted.
constexpr int64_t kEnoughAsARule = 64 * kMiB;

/// One merge from the lock to the result.
class MergeRun {
 public:
  MergeRun(const MergeOptions& options, const MergeCalls& calls)
      : options_(options),
        context_(options),
        storage_(calls.storage),
        spill_calls_(calls.spill),
        start_(Clock::now()) {}

  arrow::Result<MergeResult> Run(const MergeSource& merge_source, const std::string& path) {
    auto result = Steps(merge_source, path);
    return result.ok() ? std::move(result) : Whole(result.status(), merge_source, path);
  }

  arrow::Result<MergeResult> RunDeduplicate(const std::string& path) {
    result_.strategy = MergeStrategy::kDeduplicate;
    result_.limit_bytes = options_.max_memory_bytes;
    result_.threads = options_.threads > 0 ? options_.threads : UsableCpus();
    StartPhase("plan");
    ARROW_ASSIGN_OR_RAISE(const DatasetListing listing, ListDataset(path));
    ARROW_ASSIGN_OR_RAISE(auto known, ResultOf(path, listing));
    if (known) return std::move(*known);
    if (!listing.exists) {
      return MakeError(ErrorKind::kInvalidMerge,
                       "cannot deduplicate a non-existent target: '" + path + "'");
    }
    if (options_.snapshot == Snapshot::kExchange) {
      ARROW_RETURN_NOT_OK(SnapshotExchange::Check(listing));
    }
    ARROW_ASSIGN_OR_RAISE(const auto nothing,
                          arrow::Table::MakeEmpty(arrow::schema(arrow::FieldVector{})));
    ARROW_ASSIGN_OR_RAISE(source_, RowSource::Make(MergeSource::FromTable(nothing), &context_));
    ARROW_RETURN_NOT_OK(OpenTarget(path));
    for (size_t i = 0; i < options_.order_by.size(); ++i) {
      if (target_.num_rows() > 0 && target_.order_types()[i].empty()) {
        return MakeError(
            ErrorKind::kSchemaMismatch,
            "order_by column is missing from the target: '" + options_.order_by[i] + "'");
      }
    }
    result_.target_count_before = target_.num_rows();
    StartPhase("match");
    ARROW_ASSIGN_OR_RAISE(result_.deleted, FindDuplicates(&target_, &context_));
    StartPhase("rewrite");
    ARROW_ASSIGN_OR_RAISE(RowBitmap changed, RowBitmap::Make(0, context_.index_pool));
    ARROW_ASSIGN_OR_RAISE(const auto rewritten,
                          RewriteFiles(&target_, source_.get(), nullptr, storage_, commit_.get(),
                                       result_.threads, &changed, &context_));
    return Publish(rewritten, {});
  }

 private:
  arrow::Result<MergeResult> Steps(const MergeSource& merge_source, const std::string& path) {
    result_.strategy = options_.strategy;
    result_.limit_bytes = options_.max_memory_bytes;
    result_.threads = options_.threads > 0 ? options_.threads : UsableCpus();
    StartPhase("plan");
    ARROW_ASSIGN_OR_RAISE(DatasetListing listing, ListDataset(path));
    ARROW_ASSIGN_OR_RAISE(auto known, ResultOf(path, listing));
    if (known) return std::move(*known);
    ARROW_ASSIGN_OR_RAISE(source_, RowSource::Make(merge_source, &context_));
    ARROW_ASSIGN_OR_RAISE(const bool any, CheckInputs(*source_, listing, path, options_));
    if (!any) return NothingToDo(listing);
    if (options_.snapshot == Snapshot::kExchange) {
      ARROW_RETURN_NOT_OK(SnapshotExchange::Check(listing));
    }
    if (!listing.exists) ARROW_RETURN_NOT_OK(CreateRoot(listing.root));
    ARROW_RETURN_NOT_OK(OpenTarget(path));
    // Whoever held the lock may have had the same token.
    ARROW_ASSIGN_OR_RAISE(known, FindResult(options_, result_.strategy, target_.listing()));
    if (known) return std::move(*known);
    context_.OpenSpill(target_.listing().root, spill_calls_);
    ARROW_RETURN_NOT_OK(Prepare());
    return MergeRows();
  }

  void StartPhase(const std::string& phase) {
    if (!phase_.empty()) result_.phase_seconds.emplace_back(phase_, SecondsSince(phase_start_));
    phase_ = phase;
    phase_start_ = Clock::now();
    if (!phase.empty()) context_.progress.StartPhase(phase, 0, 0);
  }

  /// The result of an earlier merge with the same token, which may have been killed before it could
  /// answer.
  arrow::Result<std::optional<MergeResult>> ResultOf(const std::string& path,
                                                     const DatasetListing& listing) {
    if (options_.idempotency_token.empty()) return std::nullopt;
    if (CommitIsPending(listing.root)) {
      ARROW_RETURN_NOT_OK(RecoverDataset(storage_, path).status());
    }
    return FindResult(options_, result_.strategy, listing);
  }

  arrow::Status OpenTarget(const std::string& path) {
    ARROW_ASSIGN_OR_RAISE(DatasetListing listing, ListDataset(path));
    ARROW_ASSIGN_OR_RAISE(lock_, DatasetLock::Acquire(storage_, listing.root));
    ARROW_ASSIGN_OR_RAISE(commit_, Commit::Begin(storage_, listing.root, options_.snapshot));
    // Recovery may have just completed an earlier merge.
    ARROW_ASSIGN_OR_RAISE(listing, ListDataset(path));
    ARROW_ASSIGN_OR_RAISE(target_, Target::Open(std::move(listing), *source_->schema(), &context_));
    opened_ = true;
    return arrow::Status::OK();
  }

  arrow::Status Prepare() {
    prepares_ = true;
    ARROW_RETURN_NOT_OK(source_->Prepare());
    prepared_ = true;
    held_ = context_.budget->used_bytes();
    return arrow::Status::OK();
  }

  /// Syncs what was there, too: a merge that made it may have been killed before it did.
  arrow::Status CreateRoot(const std::string& root) {
    for (size_t slash = root.find('/', 1);; slash = root.find('/', slash + 1)) {
      const std::string directory = root.substr(0, slash);
      const bool made = !Exists(directory);
      if (made) ARROW_RETURN_NOT_OK(storage_->CreateDirectory(directory));
      const arrow::Status synced = storage_->SyncDirectory(ParentOf(directory));
      const ErrorDetail* detail = ErrorDetail::From(synced);
      // What this user cannot open or change is none of his making.
      const bool foreign = detail && (detail->os_error == EACCES || detail->os_error == EROFS);
      if (made || !foreign) ARROW_RETURN_NOT_OK(synced);
      if (slash == std::string::npos) return arrow::Status::OK();
    }
  }

  arrow::Result<MergeResult> NothingToDo(const DatasetListing& listing) {
    for (const DatasetFile& file : listing.files) {
      ARROW_ASSIGN_OR_RAISE(auto opened,
                            ParquetSource::Open(listing.AbsolutePath(file.relative_path),
                                                context_.read_pool->budget()));
      const int64_t rows = opened->num_rows();
      result_.target_count_before += rows;
      result_.files.push_back({opened->path(), rows, "preserved", file.version.size_bytes});
    }
    result_.target_count_after = result_.target_count_before;
    return Finish();
  }

  arrow::Result<MergeResult> MergeRows() {
    StartPhase("match");
    ARROW_ASSIGN_OR_RAISE(const SourcePartitions partitions,
                          SourcePartitions::Read(source_.get(), &target_, &context_));
    ARROW_ASSIGN_OR_RAISE(
        KeyMatch match, MatchKeys(source_.get(), partitions, result_.threads, &target_, &context_));
    result_.source_count = match.distinct;
    result_.duplicates_dropped = match.dropped;
    result_.target_count_before = target_.num_rows();
    target_.GiveNewColumns(*source_->schema(), options_);
    // A row that moves to another partition is removed and added, and neither deleted nor inserted.
    const int64_t moved = match.moved ? match.moved->Count() : 0;
    result_.deleted = match.removed - moved;
    if (moved > 0) ARROW_RETURN_NOT_OK(CheckMovedRows(*source_->schema(), target_, options_));

    StartPhase("rewrite");
    matched_bytes_ = context_.budget->used_bytes();
    by_partition_ = partitions.known();
    if (InsertsRows(options_.strategy)) to_add_ = match.distinct - match.matched.Count() + moved;
    ARROW_ASSIGN_OR_RAISE(RowBitmap changed,
                          RowBitmap::Make(source_->num_rows(), context_.index_pool));
    std::vector<RewrittenFile> rewritten;
    if (options_.strategy != MergeStrategy::kInsert) {
      ARROW_ASSIGN_OR_RAISE(rewritten,
                            RewriteFiles(&target_, source_.get(), match.spilled.get(), storage_,
                                         commit_.get(), result_.threads, &changed, &context_));
    }
    match.spilled.reset();
    RowBitmap& wanted = match.wins;
    for (int64_t i = 0; i < source_->num_rows(); ++i) {
      if (moved > 0 && match.moved->Get(i)) {
        wanted.Set(i);
        changed.Set(i);
      } else if (!InsertsRows(options_.strategy) || match.matched.Get(i)) {
        wanted.Clear(i);
      }
    }
    const int64_t added = wanted.Count();
    result_.inserted = added - moved;
    if (ReplacesRows(options_.strategy)) {
      result_.updated = match.matched.Count();
      result_.unchanged = result_.updated - changed.Count();
    }

    StartPhase("insert");
    if (added > 0) ARROW_RETURN_NOT_OK(CheckNewRows(target_));
    ARROW_ASSIGN_OR_RAISE(const auto inserted,
                          InsertRows(target_, source_.get(), partitions, wanted, added, storage_,
                                     commit_.get(), &context_));
    return Publish(rewritten, inserted);
  }

  /// A refusal for want of memory names a limit that is enough for what would come after, too.
  arrow::Status Whole(const arrow::Status& refused, const MergeSource& source,
                      const std::string& path) {
    const ErrorDetail* detail = ErrorDetail::From(refused);
    if (detail == nullptr) return refused;
    const bool denied = detail->kind == ErrorKind::kMemoryLimitExceeded &&
                        detail->limit_bytes == options_.max_memory_bytes;
    if (!denied && detail->kind != ErrorKind::kMemoryLimitTooSmall) return refused;
    // What a rewrite asks for is exact; before that, what it may come to.
    int64_t minimum = detail->minimum_bytes;
    const bool early = denied || phase_ == "plan" || phase_ == "match";
    if (early || phase_ == "rewrite") {
      context_.budget->SetLimit(options_.max_memory_bytes + kCountingRoom);
      auto counted = early ? Counted(source, path) : CountedInsert();
      context_.budget->SetLimit(options_.max_memory_bytes);
      minimum = std::max(minimum, counted.ValueOr(0));
    }
    if (denied && minimum <= options_.max_memory_bytes) {
      minimum = std::max({2 * options_.max_memory_bytes, kEnoughAsARule,
                          options_.max_memory_bytes + 4 * detail->requested_bytes});
    }
    if (source_ && source_->may_be_held()) minimum += minimum / (kHeldShare - 1) + 1;
    if (minimum == detail->minimum_bytes) return refused;
    return context_.TooSmall("the " + phase_ + " phase: " + RunContext::Reason(refused), minimum);
  }

  /// What this merge may come to, from footers and page headers alone.
  arrow::Result<int64_t> Counted(const MergeSource& source, const std::string& path) {
    if (!source_) {
      ARROW_ASSIGN_OR_RAISE(source_, RowSource::Make(source, &context_));
    }
    if (!opened_) {
      if (!lock_) {
        ARROW_RETURN_NOT_OK(OpenTarget(path));
      } else {
        ARROW_ASSIGN_OR_RAISE(DatasetListing listing, ListDataset(path));
        ARROW_ASSIGN_OR_RAISE(target_,
                              Target::Open(std::move(listing), *source_->schema(), &context_));
      }
    }
    if (!prepared_) {
      // A stream cannot be read twice.
      if (prepares_) return arrow::Status::Invalid("the source has been read in part");
      context_.OpenSpill(target_.listing().root, spill_calls_);
      ARROW_RETURN_NOT_OK(Prepare());
    }
    return WholeNeed(target_, source_.get(), held_, &context_);
  }

  /// What writing the new rows will take, once it is known how many there are.
  arrow::Result<int64_t> CountedInsert() {
    ARROW_ASSIGN_OR_RAISE(const int64_t insert,
                          InsertNeed(target_, source_.get(), by_partition_, to_add_, &context_));
    const int64_t need = insert == 0 ? 0 : matched_bytes_ + insert;
    return need + need / 8;
  }

  arrow::Result<MergeResult> Publish(const std::vector<RewrittenFile>& rewritten,
                                     const std::vector<InsertedFile>& inserted) {
    StartPhase("commit");
    ARROW_RETURN_NOT_OK(context_.progress.CheckCancelled());
    NoteFigures();
    commit_->StopWhen([this] { return context_.progress.CheckCancelled(); });
    ARROW_RETURN_NOT_OK(
        PublishFiles(target_, rewritten, inserted, options_, commit_.get(), &result_));
    return Finish();
  }

  arrow::Result<MergeResult> Finish() {
    StartPhase("");
    context_.progress.StartPhase("done", 0, 0);
    NoteFigures();
    return std::move(result_);
  }

  void NoteFigures() {
    result_.elapsed_s = SecondsSince(start_);
    result_.peak_memory_bytes = context_.budget->peak_bytes();
    result_.bytes_read = context_.bytes_read;
    result_.bytes_written = context_.bytes_written;
    result_.bytes_copied = context_.bytes_copied;
    result_.bytes_encoded = context_.bytes_encoded;
    if (context_.spill) result_.bytes_spilled = context_.spill->bytes_spilled();
  }

  const MergeOptions& options_;
  RunContext context_;
  Storage* const storage_;
  SpillCalls* const spill_calls_;
  Clock::time_point start_;
  std::string phase_;
  Clock::time_point phase_start_;
  std::unique_ptr<RowSource> source_;
  // In this order: an unpublished stage is removed while the lock is still held.
  std::unique_ptr<DatasetLock> lock_;
  std::unique_ptr<Commit> commit_;
  Target target_;
  bool opened_ = false;
  bool prepares_ = false;
  bool prepared_ = false;
  int64_t held_ = 0;           ///< before matching
  int64_t matched_bytes_ = 0;  ///< held after it
  int64_t to_add_ = 0;         ///< rows without a match
  bool by_partition_ = false;
  MergeResult result_;
};

}  // namespace

MergeSource MergeSource::FromTable(std::shared_ptr<arrow::Table> table) {
  MergeSource source;
  source.table_ = std::move(table);
  return source;
}

MergeSource MergeSource::FromReader(std::shared_ptr<arrow::RecordBatchReader> reader) {
  MergeSource source;
  source.reader_ = std::move(reader);
  return source;
}

MergeSource MergeSource::FromParquet(std::vector<std::string> paths) {
  MergeSource source;
  source.paths_ = std::move(paths);
  return source;
}

arrow::Result<MergeResult> Merge(const MergeSource& source, const std::string& path,
                                 const MergeOptions& options) {
  return MergeWith({}, source, path, options);
}

arrow::Result<MergeResult> MergeWith(const MergeCalls& calls, const MergeSource& source,
                                     const std::string& path, const MergeOptions& options) {
  ARROW_RETURN_NOT_OK(arrow::compute::Initialize());
  ARROW_RETURN_NOT_OK(CheckOptions(options));
  MergeRun run(options, calls);
  return run.Run(source, path);
}

arrow::Result<MergeResult> Deduplicate(const std::string& path, const MergeOptions& options) {
  return DeduplicateWith({}, path, options);
}

arrow::Result<MergeResult> DeduplicateWith(const MergeCalls& calls, const std::string& path,
                                           const MergeOptions& given) {
  ARROW_RETURN_NOT_OK(arrow::compute::Initialize());
  MergeOptions options = given;
  options.strategy = MergeStrategy::kDelete;  // rows only go away: no value is replaced
  ARROW_RETURN_NOT_OK(CheckOptions(options));
  if (options.source_duplicates == SourceDuplicates::kError) {
    return MakeError(ErrorKind::kInvalidMerge,
                     "deduplicate keeps the 'last' or the 'first' row of a key");
  }
  MergeRun run(options, calls);
  return run.RunDeduplicate(path);
}

}  // namespace floodwall

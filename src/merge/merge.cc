#include "floodwall/merge.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "arrow/compute/initialize.h"
#include "arrow/table.h"
#include "dataset/commit.h"
#include "dataset/journal.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/insert.h"
#include "merge/key_encoder.h"
#include "merge/key_index.h"
#include "merge/rewrite.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

arrow::Status Refuse(const std::string& message) {
  return MakeError(ErrorKind::kInvalidMerge, message);
}

arrow::Status CheckOptions(const MergeOptions& options) {
  if (options.key_columns.empty()) return Refuse("key_columns must name at least one column");
  std::set<std::string> seen;
  for (const std::string& name : options.key_columns) {
    if (name.empty()) return Refuse("key_columns must not contain an empty name");
    if (!seen.insert(name).second)
      return Refuse("key_columns names a column twice: '" + name + "'");
  }
  if (options.max_memory_bytes <= 0) {
    return Refuse("max_memory must be positive, got " + std::to_string(options.max_memory_bytes));
  }
  if (options.max_rows_per_file <= 0) {
    return Refuse("max_rows_per_file must be positive, got " +
                  std::to_string(options.max_rows_per_file));
  }
  if (options.row_group_bytes <= 0) {
    return Refuse("row_group_bytes must be positive, got " +
                  std::to_string(options.row_group_bytes));
  }
  if (options.threads < 0) {
    return Refuse("threads must be 0 (automatic) or positive, got " +
                  std::to_string(options.threads));
  }
  return arrow::Status::OK();
}

arrow::Status CheckKeysInSource(const arrow::Schema& schema, const MergeOptions& options) {
  for (const std::string& name : options.key_columns) {
    const auto found = schema.GetAllFieldIndices(name);
    if (found.size() == 1) continue;
    std::string names;
    for (const auto& field : schema.fields()) names += (names.empty() ? "" : ", ") + field->name();
    return MakeError(ErrorKind::kSchemaMismatch,
                     (found.empty() ? "key column is missing from the source: '"
                                    : "key column is ambiguous in the source: '") +
                         name + "' (it has " + names + ")");
  }
  return arrow::Status::OK();
}

/// The source's keys: which row counts for each, and which rows count at all.
struct SourceKeys {
  KeySchema schema;
  std::unique_ptr<KeyIndex> index;
  RowBitmap wins;
  int64_t distinct = 0;
  int64_t dropped = 0;
};

arrow::Result<SourceKeys> IngestKeys(RowSource* source, const Target& target, RunContext* context) {
  const MergeOptions& options = context->options;
  SourceKeys keys;
  auto types = target.key_types();
  types.resize(options.key_columns.size());
  for (size_t k = 0; k < types.size(); ++k) {
    types[k].push_back(source->schema()->GetFieldByName(options.key_columns[k])->type());
  }
  ARROW_ASSIGN_OR_RAISE(keys.schema, KeySchema::Resolve(options.key_columns, types));
  context->progress.StartPhase("ingest", 0, source->num_rows());
  const int64_t rows = source->num_rows();
  const int64_t table_bytes = (rows + 2) * KeyIndex::kBytesPerKey;
  auto index = KeyIndex::Make(keys.schema, rows, context->index_pool);
  auto wins = RowBitmap::Make(rows, context->index_pool);
  if (!index.ok() || !wins.ok()) {
    return context->TooSmall("the key index of " + std::to_string(rows) + " source rows takes " +
                                 FormatBytes(table_bytes),
                             table_bytes + rows / 2 + 48 * kMiB);
  }
  keys.index = std::move(*index);
  keys.wins = std::move(*wins);

  KeyEncoder encoder(&keys.schema, context->read_pool);
  KeyBatch batch_keys(context->read_pool);
  std::vector<std::string> examples;
  const bool last = options.source_duplicates == SourceDuplicates::kLast;
  arrow::Status status = source->ForEachBatch(
      options.key_columns, [&](int64_t first, const arrow::RecordBatch& batch) -> arrow::Status {
        ARROW_RETURN_NOT_OK(encoder.Encode(batch.columns(), &batch_keys));
        for (int64_t i = 0; i < batch.num_rows(); ++i) {
          if (options.null_keys == NullKeys::kNever &&
              batch_keys.has_null[static_cast<size_t>(i)] != 0) {
            keys.wins.Set(first + i);  // equals nothing, so it competes with nothing
            continue;
          }
          ARROW_ASSIGN_OR_RAISE(const int64_t known,
                                keys.index->Insert(batch_keys, i, first + i, last));
          if (known == KeyIndex::kNone) continue;
          ++keys.dropped;
          if (options.source_duplicates == SourceDuplicates::kError && examples.size() < 10) {
            examples.push_back(PrintKey(keys.schema, batch.columns(), i));
          }
        }
        context->progress.Advance(0, batch.num_rows());
        return arrow::Status::OK();
      });
  if (status.IsOutOfMemory() && context->budget->available_bytes() < kMiB) {
    // Keys beyond 16 bytes are stored whole; how long the rest is cannot be known yet.
    return context->TooSmall(
        "the key index of " + std::to_string(rows) + " source rows does not fit",
        2 * (context->budget->used_bytes() + source->size_bytes()) + table_bytes);
  }
  ARROW_RETURN_NOT_OK(status);
  if (options.source_duplicates == SourceDuplicates::kError && keys.dropped > 0) {
    auto detail = std::make_shared<ErrorDetail>(ErrorKind::kDuplicateKey);
    detail->examples = examples;
    return MakeError(std::move(detail),
                     "the source has duplicate keys: " + std::to_string(keys.dropped) +
                         " rows share a key with another, such as " + examples.front());
  }
  keys.index->ForEachOrdinal([&](int64_t ordinal) { keys.wins.Set(ordinal); });
  keys.distinct = rows - keys.dropped;
  return keys;
}

/// One merge from the lock to the result.
class MergeRun {
 public:
  explicit MergeRun(const MergeOptions& options)
      : options_(options), context_(options), storage_(Storage::Posix()), start_(Clock::now()) {}

  arrow::Result<MergeResult> Run(const MergeSource& merge_source, const std::string& path) {
    result_.strategy = options_.strategy;
    result_.limit_bytes = options_.max_memory_bytes;
    result_.threads = options_.threads > 0 ? options_.threads : UsableCpus();
    StartPhase("plan");
    ARROW_ASSIGN_OR_RAISE(DatasetListing listing, ListDataset(path));
    ARROW_ASSIGN_OR_RAISE(source_, RowSource::Make(merge_source, &context_));
    ARROW_RETURN_NOT_OK(CheckKeysInSource(*source_->schema(), options_));
    if (!listing.exists && options_.strategy == MergeStrategy::kUpdate) {
      return Refuse("cannot update a non-existent target: '" + path + "'");
    }
    if (source_->num_rows() == 0) return NothingToDo(listing);
    if (!listing.exists) ARROW_RETURN_NOT_OK(CreateRoot(listing.root));
    ARROW_ASSIGN_OR_RAISE(lock_, DatasetLock::Acquire(storage_, listing.root));
    ARROW_ASSIGN_OR_RAISE(commit_, Commit::Begin(storage_, listing.root));
    // Recovery may have just completed an earlier merge.
    ARROW_ASSIGN_OR_RAISE(listing, ListDataset(path));
    ARROW_ASSIGN_OR_RAISE(target_, Target::Open(std::move(listing), *source_->schema(), &context_));
    return MergeRows();
  }

 private:
  void StartPhase(const std::string& phase) {
    if (!phase_.empty()) result_.phase_seconds.emplace_back(phase_, SecondsSince(phase_start_));
    phase_ = phase;
    phase_start_ = Clock::now();
    if (!phase.empty()) context_.progress.StartPhase(phase, 0, 0);
  }

  arrow::Status CreateRoot(const std::string& root) {
    for (size_t slash = root.find('/', 1); slash != std::string::npos;
         slash = root.find('/', slash + 1)) {
      // Parents that exist but cannot be written are no error here; the last step tells.
      (void)storage_->CreateDirectory(root.substr(0, slash));
    }
    return storage_->CreateDirectory(root);
  }

  arrow::Result<MergeResult> NothingToDo(const DatasetListing& listing) {
    for (const DatasetFile& file : listing.files) {
      ARROW_ASSIGN_OR_RAISE(auto opened,
                            ParquetSource::Open(listing.AbsolutePath(file.relative_path),
                                                context_.read_pool->budget()));
      const int64_t rows = opened->metadata()->num_rows();
      result_.target_count_before += rows;
      result_.files.push_back({opened->path(), rows, "preserved", file.version.size_bytes});
    }
    result_.target_count_after = result_.target_count_before;
    return Finish();
  }

  arrow::Result<MergeResult> MergeRows() {
    StartPhase("ingest");
    ARROW_ASSIGN_OR_RAISE(SourceKeys keys, IngestKeys(source_.get(), target_, &context_));
    result_.source_count = keys.distinct;
    result_.duplicates_dropped = keys.dropped;
    result_.target_count_before = target_.num_rows();

    StartPhase("match");
    context_.progress.StartPhase("match", 0, target_.num_rows());
    ARROW_ASSIGN_OR_RAISE(RowBitmap matched,
                          RowBitmap::Make(source_->num_rows(), context_.index_pool));
    const bool replaces = options_.strategy != MergeStrategy::kInsert;
    ARROW_RETURN_NOT_OK(
        target_.Match(keys.schema, *keys.index, replaces, result_.threads, &matched, &context_));
    keys.index.reset();

    StartPhase("rewrite");
    ARROW_ASSIGN_OR_RAISE(RowBitmap changed,
                          RowBitmap::Make(source_->num_rows(), context_.index_pool));
    std::vector<RewrittenFile> rewritten;
    if (replaces) {
      ARROW_ASSIGN_OR_RAISE(
          rewritten, RewriteFiles(&target_, source_.get(), storage_, commit_.get(), result_.threads,
                                  &changed, &context_));
      result_.updated = matched.Count();
      result_.unchanged = result_.updated - changed.Count();
    }

    StartPhase("insert");
    std::vector<InsertedFile> inserted;
    if (options_.strategy != MergeStrategy::kUpdate) {
      ARROW_ASSIGN_OR_RAISE(RowBitmap absent,
                            RowBitmap::Make(source_->num_rows(), context_.index_pool));
      for (int64_t i = 0; i < source_->num_rows(); ++i) {
        if (keys.wins.Get(i) && !matched.Get(i)) absent.Set(i);
      }
      result_.inserted = absent.Count();
      if (target_.listing().single_file && result_.inserted > 0) {
        return Refuse("new rows need a dataset directory, the target is a single file: '" +
                      target_.AbsolutePath(target_.files().front()) + "'");
      }
      ARROW_ASSIGN_OR_RAISE(inserted, InsertRows(target_, source_.get(), absent, result_.inserted,
                                                 storage_, commit_.get(), &context_));
    }

    StartPhase("commit");
    ARROW_RETURN_NOT_OK(PublishFiles(rewritten, inserted));
    return Finish();
  }

  arrow::Status PublishFiles(const std::vector<RewrittenFile>& rewritten,
                             const std::vector<InsertedFile>& inserted) {
    ARROW_RETURN_NOT_OK(context_.progress.CheckCancelled());
    std::vector<const RewrittenFile*> change(target_.files().size(), nullptr);
    for (const RewrittenFile& file : rewritten) {
      if (file.changed) change[file.file] = &file;
    }
    bool any = false;
    std::vector<DatasetFile> expected;
    for (size_t f = 0; f < target_.files().size(); ++f) {
      const TargetFile& file = target_.files()[f];
      expected.push_back(file.file);
      MergeFileMetadata out{target_.AbsolutePath(file), file.num_rows, "preserved",
                            file.file.version.size_bytes};
      if (change[f] != nullptr) {
        const AssembledFile& staged = change[f]->assembled;
        ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(staged.staged_path));
        commit_->Put({staged.staged_path, file.file.relative_path, staged.size_bytes, checksum});
        out = {out.path, staged.num_rows, "rewritten", staged.size_bytes};
        any = true;
      }
      result_.target_count_after += out.row_count;
      result_.files.push_back(std::move(out));
    }
    for (const InsertedFile& file : inserted) {
      ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(file.staged_path));
      commit_->Put({file.staged_path, file.relative_path, file.size_bytes, checksum});
      result_.files.push_back({target_.listing().AbsolutePath(file.relative_path), file.num_rows,
                               "inserted", file.size_bytes});
      result_.target_count_after += file.num_rows;
      any = true;
    }
    if (result_.target_count_before + result_.inserted - result_.deleted !=
        result_.target_count_after) {
      return arrow::Status::UnknownError(
          "row counts do not add up, nothing was published: ", result_.target_count_before, " + ",
          result_.inserted, " != ", result_.target_count_after);
    }
    std::sort(result_.files.begin(), result_.files.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return any ? commit_->Publish(expected) : arrow::Status::OK();
  }

  arrow::Result<MergeResult> Finish() {
    StartPhase("");
    context_.progress.StartPhase("done", 0, 0);
    result_.elapsed_s = SecondsSince(start_);
    result_.peak_memory_bytes = context_.budget->peak_bytes();
    result_.bytes_read = context_.bytes_read;
    result_.bytes_written = context_.bytes_written;
    result_.bytes_copied = context_.bytes_copied;
    result_.bytes_encoded = context_.bytes_encoded;
    return std::move(result_);
  }

  const MergeOptions& options_;
  RunContext context_;
  Storage* storage_;
  Clock::time_point start_;
  std::string phase_;
  Clock::time_point phase_start_;
  std::unique_ptr<RowSource> source_;
  // In this order: an unpublished stage is removed while the lock is still held.
  std::unique_ptr<DatasetLock> lock_;
  std::unique_ptr<Commit> commit_;
  Target target_;
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
  ARROW_RETURN_NOT_OK(arrow::compute::Initialize());
  ARROW_RETURN_NOT_OK(CheckOptions(options));
  MergeRun run(options);
  return run.Run(source, path);
}

}  // namespace floodwall

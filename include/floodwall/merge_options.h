#pragma once

/// What a merge does and within which bounds: the knobs of floodwall::Merge.
///
/// Threading: plain values; MergeControl may be shared between threads. Errors: checked by
/// Merge before anything is written. Units: bytes unless a name says rows.
/// Lifetime: copied by Merge; the control is kept alive while the merge runs.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "arrow/util/type_fwd.h"
#include "floodwall/budget.h"
#include "floodwall/export.h"

namespace floodwall {

enum class MergeStrategy {
  kUpsert,       ///< replace rows whose key is in the source, add the others
  kInsert,       ///< add rows whose key is absent; no existing file is touched
  kUpdate,       ///< replace rows whose key is in the source, add nothing
  kDelete,       ///< remove rows whose key is in the source; its other columns are not looked at
  kFullMerge,    ///< upsert, and remove rows whose key is not in the source
  kDeduplicate,  ///< upsert, and several target rows with one source key become one
};

/// What becomes of several target rows that match one source key.
enum class TargetDuplicates {
  kAll,       ///< every one is replaced (or removed)
  kCollapse,  ///< the one at the lowest position is replaced, the others are removed
  kError,     ///< DuplicateKey with examples
};

/// Which of several source rows with one key counts; with `order_by`, positions only break ties.
enum class SourceDuplicates {
  kLast,   ///< the one at the highest position, or the greatest
  kFirst,  ///< the one at the lowest position, or the least
  kError,  ///< none: DuplicateKey with examples
};

/// Whether a null key component equals another null.
enum class NullKeys {
  kMatch,  ///< yes (SQL: IS NOT DISTINCT FROM)
  kNever,  ///< no (SQL: =): such source rows are inserts, such target rows match nothing
};

/// Target columns that the source does not have, in matched rows.
enum class MissingColumns {
  kKeep,  ///< keep the old value
  kNull,  ///< become null
};

/// Source columns that no target file has. A column that some files have already is added to the
/// others when rows of theirs get a value for it.
enum class NewColumns {
  kError,   ///< SchemaMismatch
  kIgnore,  ///< dropped
  kAdd,  ///< added to new files, and to those in which a replaced row gets a value; null elsewhere
};

/// Matched rows whose partition value in the source is another than their directory's.
enum class PartitionMoves {
  kMove,   ///< removed there and added to the other partition, in the same commit
  kError,  ///< PartitionMove with examples
};

/// What a reader can meet while a merge publishes.
enum class Snapshot {
  kInPlace,   ///< old and new files for some milliseconds, each of them whole
  kExchange,  ///< the old directory or the new one: a whole new one takes its place in one step
};

/// Where a merge is. Everything that is not known yet is 0.
struct MergeProgress {
  std::string phase;  ///< "plan" "spool" "ingest" "match" "rewrite" "insert" "commit" "done"
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
  int64_t done_rows = 0;
  int64_t total_rows = 0;
  int64_t spilled_bytes = 0;  ///< written to spill files so far
  int64_t used_bytes = 0;     ///< of the budget, now
  int64_t limit_bytes = 0;    ///< of the budget
  double elapsed_s = 0;
};

/// Watches and stops a running merge from another thread.
class FLOODWALL_EXPORT MergeControl {
 public:
  /// Asks the merge to stop. It returns a Cancelled error within a second, unless it has
  /// passed its commit point, and leaves the dataset as it was.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  /// A consistent-enough picture: each figure is current, together they are not a snapshot.
  MergeProgress progress() const;

 private:
  friend class ProgressReporter;
  std::atomic<bool> cancelled_{false};
  mutable std::mutex mutex_;
  MergeProgress progress_;
  int64_t started_ns_ = 0;
  std::weak_ptr<Budget> budget_;
  std::atomic<int64_t> done_bytes_{0};
  std::atomic<int64_t> done_rows_{0};
  std::atomic<int64_t> spilled_bytes_{0};
};

struct MergeOptions {
  MergeStrategy strategy = MergeStrategy::kUpsert;
  /// Names of top-level columns, present in the source and in every target file. Nested
  /// columns cannot be keys.
  std::vector<std::string> key_columns;

  /// Bound on everything the merge allocates that grows with the data. Anonymous memory
  /// grows by at most this plus 16 MiB. Too small: MemoryLimitTooSmall, nothing written.
  int64_t max_memory_bytes = 128 << 20;

  SourceDuplicates source_duplicates = SourceDuplicates::kLast;
  /// Source columns that decide among rows with one key, compared one after another. Nulls are
  /// lowest, NaN is above every number. Nested columns cannot order.
  std::vector<std::string> order_by;
  TargetDuplicates target_duplicates = TargetDuplicates::kAll;
  /// Lets kFullMerge with a source without rows remove every row of the target.
  bool allow_delete_all = false;
  NullKeys null_keys = NullKeys::kMatch;
  MissingColumns missing_columns = MissingColumns::kKeep;
  NewColumns new_columns = NewColumns::kError;

  /// Columns whose values are the names of directories (`column=value`), outermost first, and in no
  /// file. Unset: as the target's directories say. For a missing target: its layout.
  std::optional<std::vector<std::string>> partition_columns;
  PartitionMoves partition_moves = PartitionMoves::kMove;

  /// Codec of new files; unset: that of the dataset's newest file, else snappy. Rewritten
  /// files keep theirs, column by column.
  std::optional<arrow::Compression::type> compression;
  /// New files are split here.
  int64_t max_rows_per_file = 5'000'000;
  /// Encoded size at which new files start another row group. Larger groups compress and
  /// scan better, smaller ones prune better.
  int64_t row_group_bytes = 64 << 20;

  /// Names this merge, at most kMaxTokenBytes; empty: no name. A merge with the token of one that
  /// was committed to the dataset does nothing and returns its result. The thousand newest
  /// tokens are remembered; a source without rows leaves none.
  std::string idempotency_token;
  static constexpr size_t kMaxTokenBytes = 1024;

  /// kExchange needs Linux, a file system with hard links and RENAME_EXCHANGE, and a directory that
  /// is no link and no mount point, in one that can be written; else it is refused at the start.
  Snapshot snapshot = Snapshot::kInPlace;

  /// Where what does not fit in memory is written; empty: `_floodwall/` in the dataset. Made when
  /// missing. Files there have no names: they are gone when the merge ends, however it ends.
  std::string spill_directory;
  /// Most bytes of spill files at a time; negative: 90 % of the free space at first use.
  int64_t max_spill_bytes = -1;

  /// Files matched and rewritten at once; 0: the CPUs this process may use. Threads share
  /// the memory bound and never change the bytes written.
  int threads = 0;

  /// Optional progress and cancellation.
  std::shared_ptr<MergeControl> control;
};

}  // namespace floodwall

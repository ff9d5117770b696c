#pragma once

/// Merges rows into a dataset of Parquet files, by key, within a stated amount of memory.
///
/// Untouched files are not opened for writing; untouched row groups and column chunks are
/// copied as bytes; rows keep their position. The result appears all at once through a
/// journal: a merge that is killed leaves the old dataset or, once committed, one that the next
/// merge or Recover() completes.
///
/// Threading: Merge may run in any thread; one writer per dataset at a time, others get
/// kConflict. Errors: arrow::Status with an ErrorDetail (floodwall/error.h); on any error
/// before the commit point the dataset is untouched. Units: bytes and rows.
/// Lifetime: the source is borrowed until Merge returns.

#include <memory>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/type_fwd.h"
#include "floodwall/export.h"
#include "floodwall/merge_options.h"
#include "floodwall/merge_result.h"
#include "floodwall/recovery.h"

namespace floodwall {

/// The rows to merge in.
class FLOODWALL_EXPORT MergeSource {
 public:
  /// Rows in memory, the caller's own: not counted against the budget, not copied whole.
  static MergeSource FromTable(std::shared_ptr<arrow::Table> table);
  /// A stream that can be read once. Its rows are held while they take at most a quarter of the
  /// budget, else spilled.
  static MergeSource FromReader(std::shared_ptr<arrow::RecordBatchReader> reader);
  /// Parquet files, in this order, of any size: read where they are, as often as needed.
  static MergeSource FromParquet(std::vector<std::string> paths);

  const std::shared_ptr<arrow::Table>& table() const { return table_; }
  const std::shared_ptr<arrow::RecordBatchReader>& reader() const { return reader_; }
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  MergeSource() = default;
  std::shared_ptr<arrow::Table> table_;
  std::shared_ptr<arrow::RecordBatchReader> reader_;
  std::vector<std::string> paths_;
};

/// Merges `source` into the dataset at `path`: a directory of *.parquet files (created when
/// missing, unless the strategy is update or delete) or one such file.
FLOODWALL_EXPORT arrow::Result<MergeResult> Merge(const MergeSource& source,
                                                  const std::string& path,
                                                  const MergeOptions& options);

/// Keeps one row of each key of the dataset at `path` and removes the others: the last
/// (options.source_duplicates kLast: greatest by order_by, then highest position) or the first.
/// Rows keep their position. Besides these two it uses key_columns, null_keys, max_memory_bytes,
/// threads and control. A key table that does not fit is built in parts, reading the keys again
/// for each.
FLOODWALL_EXPORT arrow::Result<MergeResult> Deduplicate(const std::string& path,
                                                        const MergeOptions& options);

}  // namespace floodwall

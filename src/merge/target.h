#pragma once

/// The dataset being merged into: its files, and what becomes of their rows.
///
/// Threading: one thread, except that each file's matches and every bit of removed() may be set
/// from a thread of its own. Errors: kSchemaMismatch before any
/// key is read, kUnsupportedFile for files that cannot be read. Memory: matches come from
/// the index pool; a footer is held only while its file is worked on.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arrow/type.h"
#include "dataset/listing.h"
#include "merge/column_recoder.h"
#include "merge/partitions.h"
#include "merge/row_bitmap.h"
#include "merge/run_context.h"

namespace floodwall {

struct TargetRowGroup {
  int64_t num_rows = 0;
  int64_t first_row = 0;          ///< position in the target of its first row
  std::vector<RowMatch> matches;  ///< rows to replace, ascending
  int64_t replaced = 0;           ///< as many as matches, which may lie in a spill file
  int64_t removed = 0;            ///< rows to remove, marked in Target::removed()
  int64_t rows_left() const { return num_rows - removed; }
  bool touched() const { return replaced > 0 || removed > 0; }
};

struct TargetFile {
  DatasetFile file;
  int32_t partition = 0;
  int64_t num_rows = 0;
  std::vector<TargetRowGroup> row_groups;
  bool touched = false;
  bool gains_columns = false;  ///< rewritten for columns it does not have, touched or not
  int64_t rows_left() const {
    int64_t rows = num_rows;
    for (const TargetRowGroup& group : row_groups) rows -= group.removed;
    return rows;
  }
};

class Target {
 public:
  /// Reads every footer once: row counts, and the types of key columns.
  static arrow::Result<Target> Open(DatasetListing listing, const arrow::Schema& source,
                                    RunContext* context);

  const DatasetListing& listing() const { return listing_; }
  std::vector<TargetFile>& files() { return files_; }
  const std::vector<TargetFile>& files() const { return files_; }
  int64_t num_rows() const { return num_rows_; }
  /// The most that the footer of one of the files takes while its keys are read.
  int64_t scan_need() const { return scan_need_; }
  int64_t size_bytes() const;
  Partitions& partitions() { return partitions_; }
  const Partitions& partitions() const { return partitions_; }
  /// Columns of all files: those of the newest in its order, then the others. Views as strings.
  const arrow::FieldVector& columns() const { return columns_; }
  /// Types of each key column over all files, in the order of options.key_columns.
  const std::vector<std::vector<std::shared_ptr<arrow::DataType>>>& key_types() const {
    return key_types_;
  }
  /// Types of each order_by column over all files; empty lists where the target need not have it.
  const std::vector<std::vector<std::shared_ptr<arrow::DataType>>>& order_types() const {
    return order_types_;
  }
  /// The file written last: its schema and codec are those of new files. Empty: no files.
  std::optional<size_t> newest_file() const { return newest_; }

  /// Readers take the first file's schema for the dataset's: it gains the columns that a merge
  /// adds.
  void GiveNewColumns(const arrow::Schema& source, const MergeOptions& options);
  /// Gives every row of the target a bit that says whether it is removed.
  arrow::Status AllowRemovals(RunContext* context);
  /// Rows to remove by position in the target; only after AllowRemovals.
  RowBitmap& removed() { return removed_; }
  const RowBitmap& removed() const { return removed_; }
  /// Counts the removed rows of each row group, marks touched files and charges the matches.
  /// Returns the rows removed.
  arrow::Result<int64_t> SumUp(RunContext* context);

  /// Forgets what was found out about rows: matches, replaced and removed ones.
  arrow::Status Reset();

  std::string AbsolutePath(const TargetFile& file) const {
    return listing_.AbsolutePath(file.file.relative_path);
  }

 private:
  arrow::Status CheckColumns(const arrow::Schema& source, const MergeOptions& options) const;

  DatasetListing listing_;
  Partitions partitions_;
  arrow::FieldVector columns_;
  std::vector<TargetFile> files_;
  int64_t num_rows_ = 0;
  int64_t scan_need_ = 0;
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> key_types_;
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> order_types_;
  std::optional<size_t> newest_;
  RowBitmap removed_;
  bool removes_ = false;
  std::shared_ptr<Reservation> match_charge_;
};

}  // namespace floodwall

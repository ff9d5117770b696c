#pragma once

/// The source of a merge as rows with ordinals (their position), read as often as needed.
///
/// Three kinds: a table (the caller's memory), Parquet files (read where they are) and a stream,
/// which is held while it is small and otherwise spilled once.
///
/// Threading: one thread, but a RowSet from many. Errors: kUnsupportedFile, kSpill, OutOfMemory
/// from the pools, the stream's own. Units: rows, bytes. Lifetime: a RowSet may outlive nothing
/// but its source. Memory: loaded rows come from the payload pool, batches on their way from the
/// read pool.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/table.h"
#include "dataset/parquet_source.h"
#include "floodwall/merge.h"
#include "merge/row_set.h"
#include "merge/run_context.h"

namespace floodwall {

/// A row group of a source's Parquet file.
struct SourceRowGroup {
  std::shared_ptr<ParquetSource> file;
  int row_group = 0;
  int64_t first_ordinal = 0;
  int64_t num_rows = 0;
};

class RowSource {
 public:
  using Visit = std::function<arrow::Status(int64_t first_ordinal, const arrow::RecordBatch&)>;

  /// Opens files or a stream, of which it reads the first rows at most.
  static arrow::Result<std::unique_ptr<RowSource>> Make(const MergeSource& source,
                                                        RunContext* context);
  virtual ~RowSource() = default;

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  /// Final once prepared; before that it only tells whether there are any.
  int64_t num_rows() const { return num_rows_; }
  /// Reads what can be read only once. Before any of the calls below.
  virtual arrow::Status Prepare() { return arrow::Status::OK(); }

  /// Whether all rows are in memory for as long as the source is.
  virtual bool resident() const = 0;
  /// Whether a quarter of a higher limit might hold the rows that lie in a spill file now.
  virtual bool may_be_held() const { return false; }
  /// Encoded bytes behind the rows; 0 for rows in memory.
  virtual int64_t size_bytes() const = 0;
  /// Bytes a loaded row takes, measured on a sample; 0 when rows are in memory already.
  virtual arrow::Result<int64_t> LoadedBytesPerRow() = 0;
  /// An upper bound of the longest value of a column, of all rows.
  virtual arrow::Result<int64_t> LongestValue(int column) = 0;
  /// Memory that reading these columns together takes, at most.
  virtual arrow::Result<int64_t> ReadNeed(const std::vector<std::string>& columns) = 0;
  /// The rows from `first` until `last` in order, only the named columns.
  virtual arrow::Status ReadRows(const std::vector<std::string>& columns, int64_t first,
                                 int64_t last, const Visit& visit) = 0;
  /// All of them.
  arrow::Status ForEachBatch(const std::vector<std::string>& columns, const Visit& visit) {
    return ReadRows(columns, 0, num_rows_, visit);
  }
  /// The row groups that the rows lie in, in order; none where they do not lie in Parquet files.
  virtual std::vector<SourceRowGroup> RowGroups() const { return {}; }
  /// The rows with these ascending ordinals.
  virtual arrow::Result<std::shared_ptr<const RowSet>> Load(std::vector<int64_t> ordinals) = 0;

  /// Bytes of an average value of each column of the schema in the first rows: equal for
  /// equal rows, however they are stored.
  arrow::Result<std::vector<double>> LogicalBytesPerValue();

 protected:
  /// Batches have at most so many rows.
  static constexpr int64_t kBatchRows = 32768;

  explicit RowSource(RunContext* context) : context_(context) {}
  RunContext* context_;
  std::shared_ptr<arrow::Schema> schema_;
  int64_t num_rows_ = 0;
};

/// A table of the caller's.
std::unique_ptr<RowSource> MakeTableRows(std::shared_ptr<arrow::Table> table, RunContext* context);

}  // namespace floodwall

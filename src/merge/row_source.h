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
#include "floodwall/merge.h"
#include "merge/run_context.h"

namespace floodwall {

/// Rows of the source, found by ordinal.
class RowSet {
 public:
  virtual ~RowSet() = default;
  /// The values of one column for the given ordinals, in that order, in one array.
  virtual arrow::Result<std::shared_ptr<arrow::Array>> Take(int column,
                                                            std::span<const int64_t> ordinals,
                                                            arrow::MemoryPool* pool) const = 0;
  /// The same in two steps, for several columns: where the ordinals are (int64), and the values
  /// there. A set without places of its own uses the ordinals.
  virtual arrow::Result<std::shared_ptr<arrow::Array>> Positions(std::span<const int64_t> ordinals,
                                                                 arrow::MemoryPool* pool) const;
  virtual arrow::Result<std::shared_ptr<arrow::Array>> TakeAt(
      int column, const std::shared_ptr<arrow::Array>& positions, arrow::MemoryPool* pool) const;
};

/// Rows in memory.
class LoadedRows final : public RowSet {
 public:
  /// Every row of the table; ordinals are positions.
  explicit LoadedRows(std::shared_ptr<arrow::Table> table) : table_(std::move(table)) {}
  /// Row i of the table has ordinal ordinals[i]; ascending.
  LoadedRows(std::shared_ptr<arrow::Table> table, std::vector<int64_t> ordinals)
      : table_(std::move(table)), ordinals_(std::move(ordinals)), sparse_(true) {}

  arrow::Result<std::shared_ptr<arrow::Array>> Take(int column, std::span<const int64_t> ordinals,
                                                    arrow::MemoryPool* pool) const override;
  arrow::Result<std::shared_ptr<arrow::Array>> Positions(std::span<const int64_t> ordinals,
                                                         arrow::MemoryPool* pool) const override;
  arrow::Result<std::shared_ptr<arrow::Array>> TakeAt(
      int column, const std::shared_ptr<arrow::Array>& positions,
      arrow::MemoryPool* pool) const override;
  const std::shared_ptr<arrow::Table>& table() const { return table_; }

 private:
  std::shared_ptr<arrow::Table> table_;
  std::vector<int64_t> ordinals_;
  bool sparse_ = false;
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
  /// Encoded bytes behind the rows; 0 for rows in memory.
  virtual int64_t size_bytes() const = 0;
  /// Bytes a loaded row takes, measured on a sample; 0 when rows are in memory already.
  virtual arrow::Result<int64_t> LoadedBytesPerRow() = 0;
  /// Memory that reading these columns together takes, at most.
  virtual arrow::Result<int64_t> ReadNeed(const std::vector<std::string>& columns) = 0;
  /// The rows from `first` until `last` in order, only the named columns.
  virtual arrow::Status ReadRows(const std::vector<std::string>& columns, int64_t first,
                                 int64_t last, const Visit& visit) = 0;
  /// All of them.
  arrow::Status ForEachBatch(const std::vector<std::string>& columns, const Visit& visit) {
    return ReadRows(columns, 0, num_rows_, visit);
  }
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

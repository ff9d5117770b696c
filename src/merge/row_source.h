#pragma once

/// The source of a merge as rows with ordinals (their position), read as often as needed.
///
/// Threading: ForEachBatch and Load from one thread; a RowSet from many. Errors:
/// kUnsupportedFile, OutOfMemory from the pools, the stream's own. Units: rows, bytes.
/// Lifetime: a RowSet may outlive nothing but its source. Memory: a table's rows are the
/// caller's; loaded rows come from the payload pool.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/table.h"
#include "dataset/parquet_source.h"
#include "floodwall/merge.h"
#include "merge/run_context.h"

namespace floodwall {

/// Rows of the source in memory, found by ordinal.
class RowSet {
 public:
  /// Every row of the table; ordinals are positions.
  explicit RowSet(std::shared_ptr<arrow::Table> table) : table_(std::move(table)) {}
  /// Row i of the table has ordinal ordinals[i]; ascending.
  RowSet(std::shared_ptr<arrow::Table> table, std::vector<int64_t> ordinals)
      : table_(std::move(table)), ordinals_(std::move(ordinals)), sparse_(true) {}

  /// The values of one column for the given ordinals, in that order, in one array.
  arrow::Result<std::shared_ptr<arrow::Array>> Take(int column, std::span<const int64_t> ordinals,
                                                    arrow::MemoryPool* pool) const;
  const std::shared_ptr<arrow::Table>& table() const { return table_; }

 private:
  std::shared_ptr<arrow::Table> table_;
  std::vector<int64_t> ordinals_;
  bool sparse_ = false;
};

class RowSource {
 public:
  using Visit = std::function<arrow::Status(int64_t first_ordinal, const arrow::RecordBatch&)>;

  /// Opens files or drains a stream into the budget.
  static arrow::Result<std::unique_ptr<RowSource>> Make(const MergeSource& source,
                                                        RunContext* context);
  virtual ~RowSource() = default;

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  int64_t num_rows() const { return num_rows_; }
  /// Encoded bytes behind the rows; 0 for rows in memory.
  virtual int64_t size_bytes() const = 0;
  /// Bytes a loaded row takes, measured on a sample; 0 when rows are in memory already.
  virtual arrow::Result<int64_t> LoadedBytesPerRow() = 0;
  /// All rows in order, only the named columns.
  virtual arrow::Status ForEachBatch(const std::vector<std::string>& columns,
                                     const Visit& visit) = 0;
  /// The rows with these ascending ordinals.
  virtual arrow::Result<std::shared_ptr<const RowSet>> Load(std::vector<int64_t> ordinals) = 0;

 protected:
  explicit RowSource(RunContext* context) : context_(context) {}
  RunContext* context_;
  std::shared_ptr<arrow::Schema> schema_;
  int64_t num_rows_ = 0;
};

/// Decodes columns (top-level field names) of one row group, batch by batch, one page of each
/// column in memory. String views come as strings.
arrow::Status ReadRowGroup(const std::shared_ptr<ParquetSource>& file, int row_group,
                           const std::vector<std::string>& columns, int64_t batch_rows,
                           arrow::MemoryPool* pool,
                           const std::function<arrow::Status(const arrow::RecordBatch&)>& visit);

/// The Arrow schema of a Parquet file as its writer stored it, string views as strings: Arrow's
/// kernels (take, cast) do not take views.
arrow::Result<std::shared_ptr<arrow::Schema>> ArrowSchemaOf(const ParquetSource& file);

}  // namespace floodwall

#include "merge/row_source.h"

#include <algorithm>

#include "floodwall/bytes.h"
#include "merge/parquet_rows.h"
#include "merge/plain_values.h"
#include "merge/stream_rows.h"
#include "merge/value_lengths.h"

namespace floodwall {
namespace {

class TableRows final : public RowSource {
 public:
  TableRows(std::shared_ptr<arrow::Table> table, RunContext* context)
      : RowSource(context), rows_(std::make_shared<LoadedRows>(table)) {
    schema_ = table->schema();
    num_rows_ = table->num_rows();
  }
  bool resident() const override { return true; }
  int64_t size_bytes() const override { return 0; }
  arrow::Result<int64_t> LoadedBytesPerRow() override { return 0; }
  arrow::Result<int64_t> LongestValue(int column) override {
    return floodwall::LongestValue(*rows_->table()->column(column));
  }
  arrow::Result<int64_t> ReadNeed(const std::vector<std::string>&) override { return 0; }
  arrow::Status ReadRows(const std::vector<std::string>& columns, int64_t first, int64_t last,
                         const Visit& visit) override {
    std::vector<int> indices;
    for (const std::string& name : columns) indices.push_back(schema_->GetFieldIndex(name));
    ARROW_ASSIGN_OR_RAISE(auto selected, rows_->table()->SelectColumns(indices));
    selected = selected->Slice(first, last - first);
    arrow::TableBatchReader reader(*selected);
    reader.set_chunksize(kBatchRows);
    int64_t ordinal = first;
    while (true) {
      ARROW_ASSIGN_OR_RAISE(auto batch, reader.Next());
      if (!batch) return arrow::Status::OK();
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      ARROW_RETURN_NOT_OK(visit(ordinal, *batch));
      ordinal += batch->num_rows();
    }
  }
  arrow::Result<std::shared_ptr<const RowSet>> Load(std::vector<int64_t>) override { return rows_; }

 private:
  std::shared_ptr<const LoadedRows> rows_;
};

}  // namespace

std::unique_ptr<RowSource> MakeTableRows(std::shared_ptr<arrow::Table> table, RunContext* context) {
  return std::make_unique<TableRows>(std::move(table), context);
}

arrow::Result<std::unique_ptr<RowSource>> RowSource::Make(const MergeSource& source,
                                                          RunContext* context) {
  if (source.table()) return MakeTableRows(source.table(), context);
  if (source.reader()) return OpenStream(source.reader(), context);
  return OpenParquetRows(source.paths(), context);
}

arrow::Result<std::vector<double>> RowSource::LogicalBytesPerValue() {
  constexpr int64_t kSampleRows = 1024;
  const int64_t rows = std::min(kSampleRows, num_rows_);
  std::vector<double> out;
  for (const auto& field : schema_->fields()) {
    int64_t bytes = 0;
    ARROW_RETURN_NOT_OK(ReadRows(
        {field->name()}, 0, rows, [&](int64_t, const arrow::RecordBatch& batch) -> arrow::Status {
          ARROW_ASSIGN_OR_RAISE(auto values, PlainValues(batch.column(0), context_->read_pool));
          bytes += LogicalBytes(*values);
          return arrow::Status::OK();
        }));
    out.push_back(rows > 0 ? static_cast<double>(bytes) / static_cast<double>(rows) : 0);
  }
  return out;
}

}  // namespace floodwall

#include "merge/parquet_rows.h"

#include <algorithm>
#include <map>

#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "arrow/table.h"
#include "arrow/util/byte_size.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/byte_array_sizes.h"
#include "merge/plain_values.h"
#include "merge/value_lengths.h"
#include "parquet/arrow/schema.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

/// Longest values below this need not be known exactly.
constexpr int64_t kSmallValue = 16 * kKiB;

class ParquetRows final : public RowSource {
 public:
  ParquetRows(std::vector<std::shared_ptr<ParquetSource>> files,
              std::shared_ptr<arrow::Schema> schema, RunContext* context)
      : RowSource(context), files_(std::move(files)) {
    schema_ = std::move(schema);
    for (const auto& file : files_) num_rows_ += file->num_rows();
  }
  bool resident() const override { return false; }
  int64_t size_bytes() const override {
    int64_t bytes = 0;
    for (const auto& file : files_) bytes += file->size_bytes();
    return bytes;
  }

  std::vector<SourceRowGroup> RowGroups() const override {
    std::vector<SourceRowGroup> groups;
    int64_t first = 0;
    for (const auto& file : files_) {
      for (int g = 0; g < file->num_row_groups(); ++g) {
        groups.push_back({file, g, first, file->row_group_rows(g)});
        first += file->row_group_rows(g);
      }
    }
    return groups;
  }

  arrow::Result<int64_t> LoadedBytesPerRow() override {
    // Asked by the rewrite and by the insert: sampled once.
    if (loaded_bytes_per_row_ == 0) {
      ARROW_ASSIGN_OR_RAISE(loaded_bytes_per_row_, SampleBytesPerRow());
    }
    return loaded_bytes_per_row_;
  }

  arrow::Status ReadRows(const std::vector<std::string>& columns, int64_t first, int64_t last,
                         const Visit& visit) override {
    int64_t group_start = 0;
    for (const auto& file : files_) {
      for (int g = 0; g < file->num_row_groups(); ++g) {
        const int64_t group_end = group_start + file->row_group_rows(g);
        if (group_start < last && group_end > first) {
          int64_t ordinal = group_start;
          bool done = false;  // the stop is not an error
          arrow::Status status = ReadRowGroup(
              file, g, columns, kBatchRows, context_->read_pool,
              [&](const arrow::RecordBatch& batch) -> arrow::Status {
                ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
                const int64_t begin = std::max(first, ordinal);
                const int64_t end = std::min(last, ordinal + batch.num_rows());
                if (begin < end) {
                  ARROW_RETURN_NOT_OK(visit(begin, *batch.Slice(begin - ordinal, end - begin)));
                }
                ordinal += batch.num_rows();
                done = ordinal >= last;
                return done ? arrow::Status::Cancelled("read enough") : arrow::Status::OK();
              });
          if (!done) ARROW_RETURN_NOT_OK(status);
          if (done && !status.IsCancelled()) return status;
        }
        group_start = group_end;
      }
    }
    return arrow::Status::OK();
  }

  arrow::Result<int64_t> LongestValue(int column) override {
    const auto& field = schema_->field(column);
    if (const int64_t fixed = FixedLength(*field->type()); fixed > 0) return fixed;
    if (const auto known = longest_.find(field->name()); known != longest_.end()) {
      return known->second;
    }
    int64_t longest = 0;
    for (const auto& file : files_) {
      for (int g = 0; g < file->num_row_groups(); ++g) {
        for (int leaf = 0; leaf < file->num_columns(); ++leaf) {
          if (file->schema().GetColumnRoot(leaf)->name() != field->name()) continue;
          ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
          ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file, g, leaf));
          ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, SumUpPages(chunk));
          ARROW_ASSIGN_OR_RAISE(const ByteArraySizes sizes,
                                MeasureByteArrays(chunk, pages, kSmallValue, context_->read_pool));
          longest = std::max(longest, sizes.longest);
        }
      }
    }
    longest_[field->name()] = longest;
    return longest;
  }

  arrow::Result<int64_t> ReadNeed(const std::vector<std::string>& columns) override {
    int64_t need = 0;
    for (const std::string& name : columns) {
      ARROW_ASSIGN_OR_RAISE(const int64_t column, ColumnNeed(name));
      need += column;
    }
    return need;
  }

  arrow::Result<std::shared_ptr<const RowSet>> Load(std::vector<int64_t> ordinals) override {
    arrow::compute::ExecContext exec(context_->payload_pool);
    exec.set_use_threads(false);
    std::vector<std::shared_ptr<arrow::ChunkedArray>> columns;
    // One column after another: pages of one column in memory at a time.
    for (const auto& field : schema_->fields()) {
      arrow::ArrayVector chunks;
      int64_t group_start = 0;
      size_t next = 0;
      for (const auto& file : files_) {
        for (int g = 0; g < file->num_row_groups(); ++g) {
          const int64_t group_end = group_start + file->row_group_rows(g);
          if (next < ordinals.size() && ordinals[next] < group_end) {
            int64_t ordinal = group_start;
            ARROW_RETURN_NOT_OK(ReadRowGroup(
                file, g, {field->name()}, kBatchRows, context_->read_pool,
                [&](const arrow::RecordBatch& batch) {
                  ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
                  const int64_t end = ordinal + batch.num_rows();
                  arrow::Int64Builder wanted(context_->payload_pool);
                  while (next < ordinals.size() && ordinals[next] < end) {
                    ARROW_RETURN_NOT_OK(wanted.Append(ordinals[next++] - ordinal));
                  }
                  ordinal = end;
                  if (wanted.length() == 0) return arrow::Status::OK();
                  ARROW_ASSIGN_OR_RAISE(auto indices, wanted.Finish());
                  ARROW_ASSIGN_OR_RAISE(
                      auto taken,
                      arrow::compute::Take(*batch.column(0), *indices,
                                           arrow::compute::TakeOptions::NoBoundsCheck(), &exec));
                  chunks.push_back(std::move(taken));
                  return arrow::Status::OK();
                }));
          }
          group_start = group_end;
        }
      }
      columns.push_back(std::make_shared<arrow::ChunkedArray>(std::move(chunks), field->type()));
    }
    auto table =
        arrow::Table::Make(schema_, std::move(columns), static_cast<int64_t>(ordinals.size()));
    return std::make_shared<const LoadedRows>(std::move(table), std::move(ordinals));
  }

 private:
  arrow::Result<int64_t> SampleBytesPerRow() {
    constexpr int64_t kSampleRows = 1024;
    for (const auto& file : files_) {
      for (int g = 0; g < file->num_row_groups(); ++g) {
        int64_t row_bytes = 0;
        bool any = false;
        for (const auto& field : schema_->fields()) {
          // The first batch is enough; the stop is not an error.
          bool sampled = false;
          arrow::Status status = ReadRowGroup(
              file, g, {field->name()}, kSampleRows, context_->read_pool,
              [&](const arrow::RecordBatch& batch) {
                if (sampled) return arrow::Status::Cancelled("sampled");
                sampled = any = true;
                row_bytes += arrow::util::TotalBufferSize(*batch.column(0)) / batch.num_rows() + 1;
                return arrow::Status::OK();
              });
          if (!status.ok() && !(sampled && status.IsCancelled())) return status;
        }
        if (any) return row_bytes;
      }
    }
    return 1;
  }

  /// Of the dearest chunk.
  arrow::Result<int64_t> ColumnNeed(const std::string& name) {
    if (const auto known = needs_.find(name); known != needs_.end()) return known->second;
    int64_t need = 0;
    for (const auto& file : files_) {
      for (int g = 0; g < file->num_row_groups(); ++g) {
        ARROW_ASSIGN_OR_RAISE(const int64_t group,
                              floodwall::ReadNeed(file, g, name, kBatchRows, context_->read_pool));
        need = std::max(need, group);
      }
    }
    needs_[name] = need;
    return need;
  }

  std::vector<std::shared_ptr<ParquetSource>> files_;
  std::map<std::string, int64_t> needs_;
  std::map<std::string, int64_t> longest_;
  int64_t loaded_bytes_per_row_ = 0;
};

}  // namespace

arrow::Result<std::unique_ptr<RowSource>> OpenParquetRows(const std::vector<std::string>& paths,
                                                          RunContext* context) {
  std::vector<std::shared_ptr<ParquetSource>> files;
  std::shared_ptr<arrow::Schema> schema;
  for (const std::string& path : paths) {
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(path, context->payload_pool->budget()));
    ARROW_ASSIGN_OR_RAISE(auto file_schema, ArrowSchemaOf(*file));
    if (schema && !schema->Equals(*file_schema, /*check_metadata=*/false)) {
      return MakeError(ErrorKind::kSchemaMismatch, "source files have different schemas: '" +
                                                       paths.front() + "' and '" + path + "'");
    }
    schema = file_schema;
    files.push_back(std::move(file));
  }
  if (files.empty()) {
    return MakeError(ErrorKind::kInvalidMerge, "the source names no Parquet file");
  }
  return std::make_unique<ParquetRows>(std::move(files), std::move(schema), context);
}

arrow::Result<std::shared_ptr<arrow::Schema>> StoredSchemaOf(const ParquetSource& file) {
  try {
    std::shared_ptr<arrow::Schema> schema;
    const arrow::Status read = parquet::arrow::FromParquetSchema(
        &file.schema(), parquet::default_arrow_reader_properties(), file.key_value_metadata(),
        &schema);
    if (!read.ok()) {
      return MakeError(ErrorKind::kUnsupportedFile,
                       "cannot read the schema of '" + file.path() + "': " + read.message());
    }
    return schema;
  } catch (const std::exception& e) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "cannot read the schema of '" + file.path() + "': " + e.what());
  }
}

arrow::Result<std::shared_ptr<arrow::Schema>> ArrowSchemaOf(const ParquetSource& file) {
  ARROW_ASSIGN_OR_RAISE(const auto schema, StoredSchemaOf(file));
  arrow::FieldVector fields;
  for (const auto& field : schema->fields()) {
    fields.push_back(field->WithType(WithoutView(field->type())));
  }
  return arrow::schema(std::move(fields), schema->metadata());
}

}  // namespace floodwall

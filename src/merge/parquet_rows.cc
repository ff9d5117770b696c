#include "merge/parquet_rows.h"

#include <algorithm>
#include <map>

#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "arrow/table.h"
#include "arrow/util/byte_size.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/plain_values.h"
#include "parquet/arrow/reader.h"
#include "parquet/arrow/schema.h"
#include "parquet/exception.h"
#include "parquet/file_reader.h"

namespace floodwall {
namespace {

constexpr int64_t kStreamBuffer = 64 * kKiB;

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
        int64_t bytes = 0;
        int64_t rows = 0;
        for (const auto& field : schema_->fields()) {
          // The first batch is enough; the stop is not an error.
          bool sampled = false;
          arrow::Status status = ReadRowGroup(
              file, g, {field->name()}, kSampleRows, context_->read_pool,
              [&](const arrow::RecordBatch& batch) {
                if (sampled) return arrow::Status::Cancelled("sampled");
                sampled = true;
                rows = batch.num_rows();
                bytes += arrow::util::TotalBufferSize(*batch.column(0));
                return batch.num_rows() < kSampleRows ? arrow::Status::OK()
                                                      : arrow::Status::Cancelled("sampled");
              });
          if (!status.ok() && !(sampled && status.IsCancelled())) return status;
        }
        if (rows > 0) return bytes / rows + 1;
      }
    }
    return 1;
  }

  /// Pages and dictionary of the dearest chunk, and a batch of its values twice.
  arrow::Result<int64_t> ColumnNeed(const std::string& name) {
    if (const auto known = needs_.find(name); known != needs_.end()) return known->second;
    int64_t need = 0;
    for (const auto& file : files_) {
      const parquet::SchemaDescriptor& schema = file->schema();
      for (int g = 0; g < file->num_row_groups(); ++g) {
        ARROW_ASSIGN_OR_RAISE(const auto metadata, file->RowGroupMetadata(g));
        const auto group = metadata->RowGroup(0);
        int64_t leaves = 0;
        for (int leaf = 0; leaf < schema.num_columns(); ++leaf) {
          if (schema.GetColumnRoot(leaf)->name() != name) continue;
          ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file->ScanPages(g, leaf));
          const int64_t value_bytes = group->ColumnChunk(leaf)->total_uncompressed_size() /
                                          std::max<int64_t>(group->num_rows(), 1) +
                                      16;
          leaves += kStreamBuffer + pages.max_compressed_bytes + 2 * pages.max_uncompressed_bytes +
                    2 * pages.dictionary_uncompressed_bytes +
                    2 * std::min(kBatchRows, group->num_rows()) * value_bytes;
        }
        need = std::max(need, leaves);
      }
    }
    needs_[name] = need;
    return need;
  }

  std::vector<std::shared_ptr<ParquetSource>> files_;
  std::map<std::string, int64_t> needs_;
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

arrow::Status ReadRowGroup(const std::shared_ptr<ParquetSource>& file, int row_group,
                           const std::vector<std::string>& columns, int64_t batch_rows,
                           arrow::MemoryPool* pool,
                           const std::function<arrow::Status(const arrow::RecordBatch&)>& visit) {
  try {
    parquet::ReaderProperties reader_properties(pool);
    reader_properties.enable_buffered_stream();
    reader_properties.set_buffer_size(kStreamBuffer);
    parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
    arrow_properties.set_batch_size(batch_rows);
    arrow_properties.set_pre_buffer(false);
    parquet::arrow::FileReaderBuilder builder;
    ARROW_ASSIGN_OR_RAISE(const auto held, Reservation::Make(file->budget(), file->reader_bytes()));
    ARROW_ASSIGN_OR_RAISE(auto metadata, file->RowGroupMetadata(row_group));
    ARROW_RETURN_NOT_OK(
        builder.Open(file->OpenInput(pool), reader_properties, std::move(metadata)));
    ARROW_ASSIGN_OR_RAISE(auto reader,
                          builder.memory_pool(pool)->properties(arrow_properties)->Build());
    std::vector<int> leaves;
    const parquet::SchemaDescriptor& schema = file->schema();
    for (const std::string& name : columns) {
      for (int leaf = 0; leaf < schema.num_columns(); ++leaf) {
        if (schema.GetColumnRoot(leaf)->name() == name) leaves.push_back(leaf);
      }
    }
    ARROW_ASSIGN_OR_RAISE(auto batches, reader->GetRecordBatchReader({0}, leaves));
    while (true) {
      std::shared_ptr<arrow::RecordBatch> batch;
      ARROW_RETURN_NOT_OK(batches->ReadNext(&batch));
      if (!batch) return arrow::Status::OK();
      // The reader gives columns in the file's order; callers get theirs.
      std::vector<std::shared_ptr<arrow::Field>> fields;
      arrow::ArrayVector arrays;
      for (const std::string& name : columns) {
        const int i = batch->schema()->GetFieldIndex(name);
        if (i < 0) return arrow::Status::KeyError("no column '", name, "' in '", file->path(), "'");
        auto array = batch->column(i);
        if (IsView(*array->type())) {
          ARROW_ASSIGN_OR_RAISE(array, PlainValues(std::move(array), pool));
        }
        fields.push_back(batch->schema()->field(i)->WithType(array->type()));
        arrays.push_back(std::move(array));
      }
      auto ordered = arrow::RecordBatch::Make(arrow::schema(std::move(fields)), batch->num_rows(),
                                              std::move(arrays));
      ARROW_RETURN_NOT_OK(visit(*ordered));
    }
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "cannot decode Parquet file '" + file->path() + "': " + e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to read '", file->path(), "'");
  }
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

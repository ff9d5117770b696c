#include "merge/row_source.h"

#include <algorithm>
#include <numeric>

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "arrow/chunk_resolver.h"
#include "arrow/compute/api.h"
#include "arrow/util/byte_size.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "parquet/arrow/reader.h"
#include "parquet/arrow/schema.h"
#include "parquet/exception.h"
#include "parquet/file_reader.h"

namespace floodwall {
namespace {

constexpr int64_t kBatchRows = 32768;

bool IsView(const arrow::DataType& type) {
  return type.id() == arrow::Type::STRING_VIEW || type.id() == arrow::Type::BINARY_VIEW;
}

std::shared_ptr<arrow::DataType> WithoutView(const std::shared_ptr<arrow::DataType>& type) {
  if (type->id() == arrow::Type::STRING_VIEW) return arrow::utf8();
  if (type->id() == arrow::Type::BINARY_VIEW) return arrow::binary();
  return type;
}

/// Copies the views at the given positions of a column into plain strings.
template <typename Positions>
arrow::Result<std::shared_ptr<arrow::Array>> GatherViews(const arrow::ChunkedArray& column,
                                                         const Positions& positions,
                                                         arrow::MemoryPool* pool) {
  arrow::BinaryBuilder builder(pool);
  const arrow::ChunkResolver resolver(column.chunks());
  for (const int64_t position : positions) {
    const auto at = resolver.Resolve(position);
    const auto& chunk =
        static_cast<const arrow::BinaryViewArray&>(*column.chunk(static_cast<int>(at.chunk_index)));
    if (chunk.IsNull(at.index_in_chunk)) {
      ARROW_RETURN_NOT_OK(builder.AppendNull());
    } else {
      ARROW_RETURN_NOT_OK(builder.Append(chunk.GetView(at.index_in_chunk)));
    }
  }
  ARROW_ASSIGN_OR_RAISE(auto bytes, builder.Finish());
  return bytes->View(WithoutView(column.type()));
}
constexpr int64_t kStreamBuffer = 64 * kKiB;

class TableRows final : public RowSource {
 public:
  TableRows(std::shared_ptr<arrow::Table> table, Reservation held, RunContext* context)
      : RowSource(context), rows_(std::make_shared<RowSet>(table)), held_(std::move(held)) {
    schema_ = table->schema();
    num_rows_ = table->num_rows();
  }
  int64_t size_bytes() const override { return 0; }
  arrow::Result<int64_t> LoadedBytesPerRow() override { return 0; }
  arrow::Status ForEachBatch(const std::vector<std::string>& columns, const Visit& visit) override {
    std::vector<int> indices;
    for (const std::string& name : columns) indices.push_back(schema_->GetFieldIndex(name));
    ARROW_ASSIGN_OR_RAISE(auto selected, rows_->table()->SelectColumns(indices));
    arrow::TableBatchReader reader(*selected);
    reader.set_chunksize(kBatchRows);
    int64_t ordinal = 0;
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
  std::shared_ptr<const RowSet> rows_;
  Reservation held_;
};

class ParquetRows final : public RowSource {
 public:
  ParquetRows(std::vector<std::shared_ptr<ParquetSource>> files,
              std::shared_ptr<arrow::Schema> schema, RunContext* context)
      : RowSource(context), files_(std::move(files)) {
    schema_ = std::move(schema);
    for (const auto& file : files_) num_rows_ += file->num_rows();
  }
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

  arrow::Status ForEachBatch(const std::vector<std::string>& columns, const Visit& visit) override {
    int64_t ordinal = 0;
    for (const auto& file : files_) {
      for (int g = 0; g < file->num_row_groups(); ++g) {
        ARROW_RETURN_NOT_OK(ReadRowGroup(file, g, columns, kBatchRows, context_->read_pool,
                                         [&](const arrow::RecordBatch& batch) {
                                           ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
                                           ARROW_RETURN_NOT_OK(visit(ordinal, batch));
                                           ordinal += batch.num_rows();
                                           return arrow::Status::OK();
                                         }));
      }
    }
    return arrow::Status::OK();
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
    return std::make_shared<const RowSet>(std::move(table), std::move(ordinals));
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

  std::vector<std::shared_ptr<ParquetSource>> files_;
  int64_t loaded_bytes_per_row_ = 0;
};

arrow::Result<std::unique_ptr<RowSource>> DrainStream(arrow::RecordBatchReader* reader,
                                                      RunContext* context) {
  arrow::RecordBatchVector batches;
  int64_t bytes = 0;
  bool fits = true;
  ARROW_ASSIGN_OR_RAISE(auto held, Reservation::Make(context->payload_pool->budget(), 0));
  while (true) {
    ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
    std::shared_ptr<arrow::RecordBatch> batch;
    ARROW_RETURN_NOT_OK(reader->ReadNext(&batch));
    if (!batch) break;
    bytes += arrow::util::TotalBufferSize(*batch);
    // Past the limit the rest is only measured, so that the refusal can name the need.
    if (fits && !held.Resize(bytes).ok()) {
      fits = false;
      batches.clear();
      ARROW_RETURN_NOT_OK(held.Resize(0));
    }
    if (fits) batches.push_back(std::move(batch));
  }
  if (!fits) {
    return context->TooSmall("a stream is held in memory and this one has " + FormatBytes(bytes) +
                                 " (pass Parquet files for a source larger than memory)",
                             2 * bytes + 32 * kMiB);
  }
  ARROW_ASSIGN_OR_RAISE(auto table, arrow::Table::FromRecordBatches(reader->schema(), batches));
  return std::make_unique<TableRows>(std::move(table), std::move(held), context);
}

}  // namespace

arrow::Result<std::shared_ptr<arrow::Array>> RowSet::Take(int column,
                                                          std::span<const int64_t> ordinals,
                                                          arrow::MemoryPool* pool) const {
  arrow::compute::ExecContext exec(pool);
  exec.set_use_threads(false);
  arrow::Int64Builder builder(pool);
  ARROW_RETURN_NOT_OK(builder.Reserve(static_cast<int64_t>(ordinals.size())));
  for (const int64_t ordinal : ordinals) {
    int64_t position = ordinal;
    if (sparse_) {
      position = std::lower_bound(ordinals_.begin(), ordinals_.end(), ordinal) - ordinals_.begin();
    }
    builder.UnsafeAppend(position);
  }
  ARROW_ASSIGN_OR_RAISE(auto indices, builder.Finish());
  if (IsView(*table_->column(column)->type())) {
    const auto& typed = static_cast<const arrow::Int64Array&>(*indices);
    return GatherViews(*table_->column(column),
                       std::span(typed.raw_values(), static_cast<size_t>(typed.length())), pool);
  }
  const auto options = arrow::compute::TakeOptions::NoBoundsCheck();
  ARROW_ASSIGN_OR_RAISE(arrow::Datum taken,
                        arrow::compute::Take(table_->column(column), indices, options, &exec));
  if (taken.is_array()) return taken.make_array();
  const auto chunked = taken.chunked_array();
  if (chunked->num_chunks() == 1) return chunked->chunk(0);
  if (chunked->num_chunks() == 0) return arrow::MakeEmptyArray(chunked->type(), pool);
  return arrow::Concatenate(chunked->chunks(), pool);
}

arrow::Result<std::unique_ptr<RowSource>> RowSource::Make(const MergeSource& source,
                                                          RunContext* context) {
  if (source.table()) {
    ARROW_ASSIGN_OR_RAISE(auto held, Reservation::Make(context->payload_pool->budget(), 0));
    return std::make_unique<TableRows>(source.table(), std::move(held), context);
  }
  if (source.reader()) return DrainStream(source.reader().get(), context);
  std::vector<std::shared_ptr<ParquetSource>> files;
  std::shared_ptr<arrow::Schema> schema;
  for (const std::string& path : source.paths()) {
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(path, context->payload_pool->budget()));
    ARROW_ASSIGN_OR_RAISE(auto file_schema, ArrowSchemaOf(*file));
    if (schema && !schema->Equals(*file_schema, /*check_metadata=*/false)) {
      return MakeError(ErrorKind::kSchemaMismatch, "source files have different schemas: '" +
                                                       source.paths().front() + "' and '" + path +
                                                       "'");
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
          std::vector<int64_t> all(static_cast<size_t>(array->length()));
          std::iota(all.begin(), all.end(), 0);
          ARROW_ASSIGN_OR_RAISE(array, GatherViews(arrow::ChunkedArray(array), all, pool));
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

arrow::Result<std::shared_ptr<arrow::Schema>> ArrowSchemaOf(const ParquetSource& file) {
  try {
    std::shared_ptr<arrow::Schema> schema;
    const arrow::Status read = parquet::arrow::FromParquetSchema(
        &file.schema(), parquet::default_arrow_reader_properties(), file.key_value_metadata(),
        &schema);
    if (!read.ok()) {
      return MakeError(ErrorKind::kUnsupportedFile,
                       "cannot read the schema of '" + file.path() + "': " + read.message());
    }
    arrow::FieldVector fields;
    for (const auto& field : schema->fields()) {
      fields.push_back(field->WithType(WithoutView(field->type())));
    }
    return arrow::schema(std::move(fields), schema->metadata());
  } catch (const std::exception& e) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "cannot read the schema of '" + file.path() + "': " + e.what());
  }
}

}  // namespace floodwall

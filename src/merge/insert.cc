#include "merge/insert.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>
#include <random>

#include "arrow/util/byte_size.h"
#include "dataset/staged_output.h"
#include "floodwall/bytes.h"
#include "merge/fit_values.h"
#include "parquet/arrow/writer.h"
#include "parquet/exception.h"
#include "parquet/properties.h"

namespace floodwall {
namespace {

constexpr int64_t kMaxGroupRows = 1 << 20;
/// Columns whose dictionary would overflow cost an encoder this much before it gives up.
constexpr int64_t kEncoderBytes = 8 * kMiB;

/// How new files look.
struct FileStyle {
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<parquet::WriterProperties> properties;
  std::shared_ptr<parquet::ArrowWriterProperties> arrow_properties;
};

arrow::Result<FileStyle> StyleOf(const Target& target, const arrow::Schema& source_schema,
                                 RunContext* context) {
  FileStyle style;
  parquet::WriterProperties::Builder builder;
  builder.memory_pool(context->encode_pool)->enable_write_page_index();
  builder.compression(context->options.compression.value_or(parquet::Compression::SNAPPY));
  builder.max_row_group_length(kMaxGroupRows)->created_by("floodwall");
  // Small dictionaries only: a wide one that overflows costs thirty times its page.
  builder.dictionary_pagesize_limit(256 * kKiB);
  parquet::ArrowWriterProperties::Builder arrow_builder;
  arrow_builder.set_use_threads(false);
  arrow_builder.store_schema();
  auto newest = target.newest_file();
  if (!newest) {
    style.schema = arrow::schema(source_schema.fields(), source_schema.metadata());
  } else {
    const auto& files = target.files();
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(target.AbsolutePath(files[*newest]),
                                                         context->encode_pool->budget()));
    ARROW_ASSIGN_OR_RAISE(style.schema, ArrowSchemaOf(*file));
    if (file->num_row_groups() > 0) {
      ARROW_ASSIGN_OR_RAISE(const auto metadata, file->RowGroupMetadata(0));
      const auto group = metadata->RowGroup(0);
      for (int c = 0; c < group->num_columns(); ++c) {
        const auto path = file->schema().Column(c)->path();
        if (!context->options.compression) {
          builder.compression(path, group->ColumnChunk(c)->compression());
        }
        ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file->ScanPages(0, c));
        if (!pages.all_dictionary_encoded) builder.disable_dictionary(path);
      }
    }
    for (int c = 0; c < file->num_columns(); ++c) {
      const auto* column = file->schema().Column(c);
      const bool decimal = column->logical_type() && column->logical_type()->is_decimal();
      if (decimal && column->physical_type() != parquet::Type::FIXED_LEN_BYTE_ARRAY &&
          column->physical_type() != parquet::Type::BYTE_ARRAY) {
        builder.enable_store_decimal_as_integer();
      }
      if (column->physical_type() == parquet::Type::INT96) {
        arrow_builder.enable_deprecated_int96_timestamps();
      }
    }
  }
  style.properties = builder.build();
  style.arrow_properties = arrow_builder.build();
  return style;
}

/// The rows in the file's columns and types.
arrow::Result<std::shared_ptr<arrow::Table>> Shape(const RowSet& rows,
                                                   std::span<const int64_t> ordinals,
                                                   const arrow::Schema& schema,
                                                   arrow::MemoryPool* pool) {
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const auto& field : schema.fields()) {
    const int column = rows.table()->schema()->GetFieldIndex(field->name());
    std::shared_ptr<arrow::Array> values;
    if (column < 0) {
      ARROW_ASSIGN_OR_RAISE(
          values,
          arrow::MakeArrayOfNull(field->type(), static_cast<int64_t>(ordinals.size()), pool));
    } else {
      ARROW_ASSIGN_OR_RAISE(values, rows.Take(column, ordinals, pool));
    }
    ARROW_ASSIGN_OR_RAISE(values, FitValues(std::move(values), field->type(), field->nullable(),
                                            field->name(), pool));
    columns.push_back(std::move(values));
  }
  return arrow::Table::Make(arrow::schema(schema.fields(), schema.metadata()), std::move(columns),
                            static_cast<int64_t>(ordinals.size()));
}

std::string MakeName(uint64_t salt, int i) {
  char name[64];
  std::snprintf(name, sizeof(name), "part-%016llx-%d.parquet",
                static_cast<unsigned long long>(salt), i);
  return name;
}

/// Writes one new file after another.
class FileSequence {
 public:
  FileSequence(FileStyle style, uint64_t salt, Storage* storage, Commit* commit,
               RunContext* context)
      : style_(std::move(style)),
        salt_(salt),
        storage_(storage),
        commit_(commit),
        context_(context) {}

  arrow::Status WriteRowGroup(const arrow::Table& table) {
    if (writer_ && file_.num_rows + table.num_rows() > context_->options.max_rows_per_file) {
      ARROW_RETURN_NOT_OK(Close());
    }
    if (!writer_) {
      ARROW_ASSIGN_OR_RAISE(auto staged, storage_->CreateFile(commit_->StagePath(), 0644));
      file_ = InsertedFile{staged->path(), MakeName(salt_, next_++), 0, 0};
      ARROW_ASSIGN_OR_RAISE(sink_, StagedOutput::Make(std::move(staged), context_->encode_pool));
      ARROW_ASSIGN_OR_RAISE(
          writer_, parquet::arrow::FileWriter::Open(*style_.schema, context_->encode_pool, sink_,
                                                    style_.properties, style_.arrow_properties));
    }
    ARROW_RETURN_NOT_OK(writer_->WriteTable(table, std::max<int64_t>(table.num_rows(), 1)));
    file_.num_rows += table.num_rows();
    return arrow::Status::OK();
  }

  arrow::Status Close() {
    if (!writer_) return arrow::Status::OK();
    ARROW_RETURN_NOT_OK(writer_->Close());
    ARROW_RETURN_NOT_OK(sink_->Sync());
    file_.size_bytes = sink_->position();
    ARROW_RETURN_NOT_OK(sink_->Close());
    writer_.reset();
    context_->bytes_written += file_.size_bytes;
    context_->bytes_encoded += file_.size_bytes;
    files_.push_back(std::move(file_));
    return arrow::Status::OK();
  }

  std::vector<InsertedFile> TakeFiles() { return std::move(files_); }

 private:
  FileStyle style_;
  uint64_t salt_;
  Storage* storage_;
  Commit* commit_;
  RunContext* context_;
  int next_ = 0;
  InsertedFile file_;
  std::shared_ptr<StagedOutput> sink_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::vector<InsertedFile> files_;
};

}  // namespace

arrow::Result<std::vector<InsertedFile>> InsertRows(const Target& target, RowSource* source,
                                                    const RowBitmap& wanted, int64_t count,
                                                    Storage* storage, Commit* commit,
                                                    RunContext* context) {
  if (count == 0) return std::vector<InsertedFile>{};
  context->progress.StartPhase("insert", 0, count);
  ARROW_ASSIGN_OR_RAISE(const int64_t loaded, source->LoadedBytesPerRow());
  const int64_t row_bytes = std::max<int64_t>(loaded, 64);
  // Loaded rows, the rows shaped for the file, and the encoder share what is left.
  const int64_t room = context->budget->available_bytes() - kEncoderBytes;
  const int64_t fits = room / (4 * row_bytes);
  const int64_t group_rows = std::min(
      {fits, kMaxGroupRows, std::max<int64_t>(1, context->options.row_group_bytes / row_bytes),
       context->options.max_rows_per_file});
  if (fits < std::min<int64_t>(count, 1024)) {
    const int64_t minimum = context->budget->used_bytes() + kEncoderBytes +
                            4 * row_bytes * std::min<int64_t>(count, 1024);
    return context->TooSmall("writing new rows takes " + FormatBytes(minimum), minimum);
  }
  std::random_device device;
  const uint64_t salt = (static_cast<uint64_t>(device()) << 32) | device();
  try {
    ARROW_ASSIGN_OR_RAISE(FileStyle style, StyleOf(target, *source->schema(), context));
    const auto schema = style.schema;
    FileSequence files(std::move(style), salt, storage, commit, context);
    int64_t next = 0;
    while (next < source->num_rows()) {
      ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
      std::vector<int64_t> ordinals;
      for (; next < source->num_rows() && static_cast<int64_t>(ordinals.size()) < group_rows;
           ++next) {
        if (wanted.Get(next)) ordinals.push_back(next);
      }
      if (ordinals.empty()) break;
      ARROW_ASSIGN_OR_RAISE(auto rows, source->Load(ordinals));
      ARROW_ASSIGN_OR_RAISE(auto table, Shape(*rows, ordinals, *schema, context->encode_pool));
      rows.reset();
      ARROW_RETURN_NOT_OK(files.WriteRowGroup(*table));
      context->progress.Advance(0, table->num_rows());
    }
    ARROW_RETURN_NOT_OK(files.Close());
    return files.TakeFiles();
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return arrow::Status::IOError("cannot write new rows: ", e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to write new rows");
  }
}

}  // namespace floodwall

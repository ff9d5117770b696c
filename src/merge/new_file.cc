#include "merge/new_file.h"

#include <algorithm>

#include "arrow/array/concatenate.h"
#include "arrow/extension_type.h"
#include "arrow/ipc/writer.h"
#include "arrow/util/base64.h"
#include "arrow/util/checked_cast.h"
#include "arrow/util/key_value_metadata.h"
#include "dataset/parquet_source.h"
#include "floodwall/bytes.h"
#include "merge/fit_values.h"
#include "merge/parquet_rows.h"
#include "merge/plain_values.h"
#include "merge/stored_decimals.h"
#include "merge/value_lengths.h"
#include "parquet/arrow/schema.h"
#include "parquet/column_writer.h"

namespace floodwall {
namespace {

/// Cuts pieces of any size into slices of one, shorter where values are long.
class Slicer {
 public:
  Slicer(int64_t rows, arrow::MemoryPool* pool, NewFile::Sink sink)
      : rows_(rows), pool_(pool), sink_(std::move(sink)) {}

  arrow::Status Add(const std::shared_ptr<arrow::Array>& piece) {
    for (int64_t first = 0; first < piece->length();) {
      const int64_t n = Fitting(*piece, first, std::min(rows_ - held_, piece->length() - first));
      if (n == 0) {
        ARROW_RETURN_NOT_OK(Flush());
        continue;
      }
      pieces_.push_back(piece->Slice(first, n));
      held_ += n;
      first += n;
      if (held_ == rows_) ARROW_RETURN_NOT_OK(Flush());
    }
    return arrow::Status::OK();
  }
  arrow::Status Flush() {
    if (pieces_.empty()) return arrow::Status::OK();
    auto slice = pieces_.front();
    if (pieces_.size() > 1) {
      ARROW_ASSIGN_OR_RAISE(slice, arrow::Concatenate(pieces_, pool_));
    }
    pieces_.clear();
    held_ = bytes_ = 0;
    return sink_(std::move(slice));
  }

 private:
  /// How many of `n` values the slice still takes; counted into it.
  int64_t Fitting(const arrow::Array& piece, int64_t first, int64_t n) {
    if (FixedLength(*piece.type()) > 0) return n;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t length = LengthAt(piece, first + i);
      if (bytes_ + length > NewFile::kSliceBytes && held_ + i > 0) return i;
      bytes_ += length;
    }
    return n;
  }

  const int64_t rows_;
  arrow::MemoryPool* pool_;
  NewFile::Sink sink_;
  arrow::ArrayVector pieces_;
  int64_t held_ = 0;
  int64_t bytes_ = 0;
};

std::shared_ptr<const arrow::DataType> StorageOf(const std::shared_ptr<arrow::DataType>& type) {
  if (type->id() != arrow::Type::EXTENSION) return type;
  return arrow::internal::checked_cast<const arrow::ExtensionType&>(*type).storage_type();
}

/// The schema that Arrow's writer makes of a style's, with decimals as the newest file has them.
arrow::Result<std::shared_ptr<parquet::schema::GroupNode>> MakeStored(const FileStyle& style) {
  std::shared_ptr<parquet::SchemaDescriptor> schema;
  ARROW_RETURN_NOT_OK(parquet::arrow::ToParquetSchema(style.schema.get(), *style.properties,
                                                      *style.arrow_properties, &schema));
  return CloneSchema(*schema->group_node(), style.decimals);
}

}  // namespace

arrow::Result<FileStyle> FileStyle::Of(const Target& target, const arrow::Schema& source_schema,
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
    style.schema = arrow::schema({}, source_schema.metadata());
  } else {
    const auto& files = target.files();
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(target.AbsolutePath(files[*newest]),
                                                         context->encode_pool->budget()));
    ARROW_ASSIGN_OR_RAISE(style.schema, StoredSchemaOf(*file));
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
    style.decimals = DecimalFormsOf(file->schema());
    style.stored = CloneSchema(*file->schema().group_node(), {});
    style.page_index = false;
    for (int c = 0; c < file->num_columns() && file->num_row_groups() > 0; ++c) {
      style.page_index |= file->has_page_index(0, c);
    }
    for (int c = 0; c < file->num_columns(); ++c) {
      if (file->schema().Column(c)->physical_type() == parquet::Type::INT96) {
        arrow_builder.enable_deprecated_int96_timestamps();
      }
    }
  }
  // Columns that only other files have, or no file yet.
  const auto add = [&](const std::shared_ptr<arrow::Field>& field) -> arrow::Status {
    if (style.schema->GetFieldIndex(field->name()) >= 0 ||
        target.partitions().IndexOf(field->name()) >= 0) {
      return arrow::Status::OK();
    }
    return style.schema->AddField(style.schema->num_fields(), field).Value(&style.schema);
  };
  for (const auto& field : target.columns()) ARROW_RETURN_NOT_OK(add(field));
  if (!newest || context->options.new_columns == NewColumns::kAdd) {
    for (const auto& field : source_schema.fields()) {
      ARROW_RETURN_NOT_OK(
          add(newest ? field->WithNullable(true)->WithType(WithoutView(field->type())) : field));
    }
  }
  style.properties = builder.build();
  style.arrow_properties = arrow_builder.build();
  if (!style.stored || style.stored->field_count() != style.schema->num_fields()) {
    ARROW_ASSIGN_OR_RAISE(style.stored, MakeStored(style));
  }
  return style;
}

arrow::Result<std::shared_ptr<const arrow::KeyValueMetadata>> FileStyle::Metadata(
    arrow::MemoryPool* pool) const {
  auto note =
      schema->metadata() ? schema->metadata()->Copy() : std::make_shared<arrow::KeyValueMetadata>();
  ARROW_ASSIGN_OR_RAISE(auto bytes, arrow::ipc::SerializeSchema(*schema, pool));
  ARROW_RETURN_NOT_OK(
      note->Set("ARROW:schema", arrow::util::base64_encode(std::string_view(*bytes))));
  return note;
}

arrow::Result<std::unique_ptr<NewFile>> NewFile::Make(const FileStyle& style,
                                                      std::unique_ptr<StagedFile> staged,
                                                      RunContext* context) {
  auto out = std::unique_ptr<NewFile>(new NewFile(style, context));
  GuardedPool* pool = context->encode_pool;
  ARROW_ASSIGN_OR_RAISE(out->sink_, StagedOutput::Make(std::move(staged), pool));
  for (const auto& field : style.schema->fields()) {
    out->nested_ |= arrow::is_nested(StorageOf(field->type())->id());
  }
  ARROW_ASSIGN_OR_RAISE(auto root, MakeStored(style));
  for (int c = 0; c < root->field_count(); ++c) {
    const auto& field = style.schema->field(c);
    ARROW_ASSIGN_OR_RAISE(auto stored, StoredType(*root->field(c), PlainType(field->type())));
    out->stored_.push_back(field->WithType(stored));
  }
  ARROW_ASSIGN_OR_RAISE(auto note, style.Metadata(pool));
  auto writer = parquet::ParquetFileWriter::Open(out->sink_, std::move(root), style.properties,
                                                 std::move(note));
  if (out->nested_) {
    ARROW_RETURN_NOT_OK(
        parquet::arrow::FileWriter::Make(pool, std::move(writer), arrow::schema(out->stored_),
                                         style.arrow_properties, &out->nested_writer_));
  } else {
    out->flat_writer_ = std::move(writer);
  }
  return out;
}

arrow::Status NewFile::WriteRowGroup(int64_t rows, const std::vector<int64_t>& slice_rows,
                                     const Feed& feed) {
  parquet::RowGroupWriter* group = nullptr;
  if (nested_) {
    ARROW_RETURN_NOT_OK(nested_writer_->NewRowGroup());
  } else {
    group = flat_writer_->AppendRowGroup();
  }
  for (int c = 0; c < style_.schema->num_fields(); ++c) {
    ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
    ARROW_RETURN_NOT_OK(nested_ ? WriteNested(c, feed)
                                : WriteFlat(group, c, slice_rows[static_cast<size_t>(c)], feed));
  }
  if (group != nullptr) group->Close();
  num_rows_ += rows;
  return arrow::Status::OK();
}

arrow::Status NewFile::WriteFlat(parquet::RowGroupWriter* group, int column, int64_t slice_rows,
                                 const Feed& feed) {
  GuardedPool* pool = context_->encode_pool;
  parquet::ColumnWriter* writer = group->NextColumn();
  parquet::ArrowWriteContext write_context(pool, style_.arrow_properties.get());
  std::vector<int16_t> levels;
  const auto write = [&](std::shared_ptr<arrow::Array> values) -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(values, Fit(std::move(values), column));
    if (values->type_id() == arrow::Type::EXTENSION) {
      values = arrow::internal::checked_cast<const arrow::ExtensionArray&>(*values).storage();
    }
    const bool optional = writer->descr()->max_definition_level() > 0;
    if (optional) {
      levels.resize(static_cast<size_t>(values->length()));
      for (int64_t i = 0; i < values->length(); ++i) {
        levels[static_cast<size_t>(i)] = values->IsValid(i) ? 1 : 0;
      }
    }
    return writer->WriteArrow(optional ? levels.data() : nullptr, nullptr, values->length(),
                              *values, &write_context, optional);
  };
  Slicer slicer(slice_rows, pool, write);
  ARROW_RETURN_NOT_OK(
      feed(column, [&](std::shared_ptr<arrow::Array> piece) { return slicer.Add(piece); }));
  ARROW_RETURN_NOT_OK(slicer.Flush());
  writer->Close();
  return arrow::Status::OK();
}

arrow::Status NewFile::WriteNested(int column, const Feed& feed) {
  arrow::ArrayVector pieces;
  ARROW_RETURN_NOT_OK(feed(column, [&](std::shared_ptr<arrow::Array> piece) -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(piece, Fit(std::move(piece), column));
    pieces.push_back(std::move(piece));
    return arrow::Status::OK();
  }));
  // In one piece: how the source was cut must not show in the pages.
  ARROW_ASSIGN_OR_RAISE(auto values, arrow::Concatenate(pieces, context_->encode_pool));
  pieces.clear();
  return nested_writer_->WriteColumnChunk(*values);
}

arrow::Result<std::shared_ptr<arrow::Array>> NewFile::Fit(std::shared_ptr<arrow::Array> values,
                                                          int column) const {
  GuardedPool* pool = context_->encode_pool;
  const arrow::Field& field = *style_.schema->field(column);
  // Dictionaries are decoded: how a source happens to number its values must not show.
  ARROW_ASSIGN_OR_RAISE(values, PlainValues(std::move(values), pool));
  ARROW_ASSIGN_OR_RAISE(values, FitValues(std::move(values), PlainType(field.type()),
                                          field.nullable(), field.name(), pool));
  return StoredValues(std::move(values), stored_[static_cast<size_t>(column)]->type(), field.name(),
                      pool);
}

arrow::Result<int64_t> NewFile::Close() {
  if (nested_) {
    ARROW_RETURN_NOT_OK(nested_writer_->Close());
  } else {
    flat_writer_->Close();
  }
  ARROW_RETURN_NOT_OK(sink_->Sync());
  const int64_t size = sink_->position();
  ARROW_RETURN_NOT_OK(sink_->Close());
  return size;
}

}  // namespace floodwall

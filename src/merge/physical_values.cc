#include "merge/physical_values.h"

#include "arrow/extension_type.h"
#include "arrow/io/memory.h"
#include "arrow/util/checked_cast.h"
#include "floodwall/error.h"
#include "merge/fit_values.h"
#include "merge/stored_decimals.h"
#include "parquet/arrow/schema.h"
#include "parquet/arrow/writer.h"
#include "parquet/column_writer.h"
#include "parquet/metadata.h"
#include "parquet/properties.h"

namespace floodwall {
namespace {

/// The Arrow type of one leaf, without what an ARROW:schema note would add.
arrow::Result<std::shared_ptr<arrow::DataType>> LeafType(const parquet::ColumnDescriptor* column) {
  // A node of its own: putting the file's under another group would change its parent.
  auto node = parquet::schema::PrimitiveNode::Make(
      column->name(), column->schema_node()->repetition(), column->logical_type(),
      column->physical_type(), column->type_length());
  auto root = parquet::schema::GroupNode::Make("schema", parquet::Repetition::REQUIRED, {node});
  parquet::SchemaDescriptor descriptor;
  descriptor.Init(root);
  std::shared_ptr<arrow::Schema> schema;
  ARROW_RETURN_NOT_OK(parquet::arrow::FromParquetSchema(&descriptor, &schema));
  return schema->field(0)->type();
}

arrow::Status DoesNotFit(const parquet::ColumnDescriptor* column, const std::string& why) {
  return MakeError(ErrorKind::kSchemaMismatch,
                   "source values do not fit column '" + column->name() + "': " + why);
}

}  // namespace

arrow::Result<std::shared_ptr<arrow::Array>> FitToColumn(std::shared_ptr<arrow::Array> values,
                                                         int64_t length,
                                                         const parquet::ColumnDescriptor* column,
                                                         GuardedPool* pool) {
  ARROW_ASSIGN_OR_RAISE(const auto type, LeafType(column));
  if (!values) {
    ARROW_ASSIGN_OR_RAISE(values, arrow::MakeArrayOfNull(type, length, pool));
  }
  if (values->type_id() == arrow::Type::EXTENSION) {
    values = arrow::internal::checked_cast<const arrow::ExtensionArray&>(*values).storage();
  }
  return FitValues(std::move(values), type, column->max_definition_level() > 0, column->name(),
                   pool);
}

arrow::Result<PlainPage> EncodePlain(std::shared_ptr<arrow::Array> values, int64_t length,
                                     const parquet::ColumnDescriptor* column, GuardedPool* pool) {
  ARROW_ASSIGN_OR_RAISE(values, FitToColumn(std::move(values), length, column, pool));
  ARROW_ASSIGN_OR_RAISE(const auto type, LeafType(column));
  ARROW_ASSIGN_OR_RAISE(const auto stored, StoredType(*column->schema_node(), type));
  ARROW_ASSIGN_OR_RAISE(values, StoredValues(std::move(values), stored, column->name(), pool));
  const bool required = column->max_definition_level() == 0;

  // One page whatever its size: byte arrays read back stay valid as long as the page.
  auto properties = parquet::WriterProperties::Builder()
                        .memory_pool(pool)
                        ->disable_dictionary()
                        ->disable_statistics()
                        ->compression(parquet::Compression::UNCOMPRESSED)
                        ->data_pagesize(int64_t{1} << 30)
                        ->max_rows_per_page(int64_t{1} << 30)
                        ->build();
  ARROW_ASSIGN_OR_RAISE(auto sink, arrow::io::BufferOutputStream::Create(4096, pool));
  auto metadata = parquet::ColumnChunkMetaDataBuilder::Make(properties, column);
  auto pager = parquet::PageWriter::Open(sink, parquet::Compression::UNCOMPRESSED, metadata.get(),
                                         -1, -1, pool);
  auto writer = parquet::ColumnWriter::Make(metadata.get(), std::move(pager), properties.get());
  std::vector<int16_t> levels;
  if (!required) {
    levels.resize(static_cast<size_t>(length));
    for (int64_t i = 0; i < length; ++i) {
      levels[static_cast<size_t>(i)] = values->IsValid(i) ? 1 : 0;
    }
  }
  auto arrow_properties =
      parquet::ArrowWriterProperties::Builder().enable_deprecated_int96_timestamps()->build();
  if (column->physical_type() != parquet::Type::INT96) {
    arrow_properties = parquet::ArrowWriterProperties::Builder().build();
  }
  parquet::ArrowWriteContext context(pool, arrow_properties.get());
  arrow::Status written = writer->WriteArrow(required ? nullptr : levels.data(), nullptr, length,
                                             *values, &context, !required);
  if (!written.ok()) {
    return written.IsOutOfMemory() ? written : DoesNotFit(column, written.message());
  }
  writer->Close();
  PlainPage out;
  ARROW_ASSIGN_OR_RAISE(out.pages, sink->Finish());
  out.length = length;
  parquet::ReaderProperties reader_properties(pool);
  auto reader =
      parquet::PageReader::Open(std::make_shared<arrow::io::BufferReader>(out.pages), length,
                                parquet::Compression::UNCOMPRESSED, reader_properties, *column);
  out.reader = parquet::ColumnReader::Make(column, std::move(reader), pool);
  return out;
}

}  // namespace floodwall

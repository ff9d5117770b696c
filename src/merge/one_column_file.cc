#include "merge/one_column_file.h"

#include "arrow/record_batch.h"
#include "floodwall/error.h"
#include "merge/schema_nodes.h"
#include "merge/stored_decimals.h"
#include "parquet/file_writer.h"

namespace floodwall {

using parquet::schema::GroupNode;
using parquet::schema::Node;

arrow::Result<std::unique_ptr<OneColumnFile>> OneColumnFile::Make(
    const Node& node, const std::shared_ptr<arrow::Field>& field,
    std::shared_ptr<parquet::WriterProperties> properties, bool int96, Storage* storage,
    Commit* commit, GuardedPool* pool) {
  auto out = std::unique_ptr<OneColumnFile>(new OneColumnFile());
  ARROW_ASSIGN_OR_RAISE(auto staged, storage->CreateFile(commit->StagePath(), 0600));
  out->storage_ = storage;
  out->pool_ = pool;
  out->path_ = staged->path();
  ARROW_ASSIGN_OR_RAISE(auto stored, StoredType(node, field->type()));
  out->schema_ = arrow::schema({field->WithType(stored)});
  ARROW_ASSIGN_OR_RAISE(out->sink_, StagedOutput::Make(std::move(staged), pool));
  const auto root = GroupNode::Make("schema", parquet::Repetition::REQUIRED, {CloneNode(node)});
  parquet::ArrowWriterProperties::Builder arrow_properties;
  arrow_properties.set_use_threads(false);
  if (int96) arrow_properties.enable_deprecated_int96_timestamps();
  ARROW_RETURN_NOT_OK(parquet::arrow::FileWriter::Make(
      pool,
      parquet::ParquetFileWriter::Open(out->sink_, std::static_pointer_cast<GroupNode>(root),
                                       std::move(properties)),
      out->schema_, arrow_properties.build(), &out->writer_));
  return out;
}

OneColumnFile::~OneColumnFile() {
  writer_.reset();
  (void)storage_->Unlink(path_);  // what stays goes away with the stage
}

arrow::Status OneColumnFile::Append(const std::shared_ptr<arrow::Array>& values) {
  if (!any_) ARROW_RETURN_NOT_OK(writer_->NewBufferedRowGroup());
  any_ = true;
  if (values->length() == 0) return arrow::Status::OK();
  const auto& field = *schema_->field(0);
  ARROW_ASSIGN_OR_RAISE(auto stored, StoredValues(values, field.type(), field.name(), pool_));
  auto status =
      writer_->WriteRecordBatch(*arrow::RecordBatch::Make(schema_, values->length(), {stored}));
  if (status.ok() || status.IsOutOfMemory()) return status;
  return MakeError(ErrorKind::kSchemaMismatch, "values of column '" + schema_->field(0)->name() +
                                                   "' cannot be written: " + status.message());
}

arrow::Result<std::shared_ptr<ParquetSource>> OneColumnFile::Finish() {
  ARROW_RETURN_NOT_OK(writer_->Close());
  ARROW_RETURN_NOT_OK(sink_->Close());
  writer_.reset();
  return ParquetSource::Open(path_, pool_->budget());
}

arrow::Result<EncodedChunk> OneColumnFile::CopyChunk(const ParquetSource& finished, int leaf,
                                                     StagedOutput* sink) {
  const ChunkRange range = finished.chunk_range(0, leaf);
  const int64_t begin = sink->position();
  if (range.length > 0)
    ARROW_RETURN_NOT_OK(sink->CopyFrom(finished.fd(), range.offset, range.length));
  ARROW_ASSIGN_OR_RAISE(const std::string group, finished.ReadRowGroupBytes(0));
  const std::string_view bytes = finished.chunk_bytes(group, 0, leaf);
  ARROW_ASSIGN_OR_RAISE(const ChunkFacts facts, ReadChunkFacts(bytes));
  EncodedChunk out;
  ChunkPlace place;
  place.shift = range.length > 0 ? begin - range.offset : 0;
  ARROW_RETURN_NOT_OK(AppendMovedChunk(bytes, place, &out.column_chunk));
  if (facts.column_index.length > 0) {
    ARROW_ASSIGN_OR_RAISE(out.column_index,
                          finished.ReadRange(facts.column_index.offset, facts.column_index.length));
  }
  if (facts.offset_index.length > 0) {
    ARROW_ASSIGN_OR_RAISE(const std::string index,
                          finished.ReadRange(facts.offset_index.offset, facts.offset_index.length));
    ARROW_RETURN_NOT_OK(
        AppendMovedOffsetIndex(index, place.shift, {begin, range.length}, &out.offset_index));
  }
  return out;
}

}  // namespace floodwall

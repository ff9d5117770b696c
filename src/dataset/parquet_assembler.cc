#include "dataset/parquet_assembler.h"

#include <algorithm>
#include <utility>

#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;

constexpr char kMagic[] = "PAR1";

/// Adds `shift` to an offset that is present and real (0 stands for "none" in some files).
void Shift(Value* value, int16_t id, int64_t shift) {
  Value* offset = value->Find(id);
  if (offset != nullptr && offset->integer > 0) offset->integer += shift;
}

arrow::Status ShiftOffsetIndex(int64_t shift, std::string* bytes) {
  ARROW_ASSIGN_OR_RAISE(Value index, thrift::ParseStruct(*bytes, nullptr));
  Value* locations = index.Find(field::offset_index::kPageLocations);
  if (locations == nullptr) {
    return MakeError(ErrorKind::kUnsupportedFile, "an offset index has no page locations");
  }
  for (Value& location : locations->elements)
    Shift(&location, field::page_location::kOffset, shift);
  bytes->clear();
  thrift::AppendStruct(index, bytes);
  return arrow::Status::OK();
}

Value* ChunkOf(Value* group, int column) {
  return &group->Find(field::row_group::kColumns)->elements[static_cast<size_t>(column)];
}

}  // namespace

arrow::Result<std::unique_ptr<ParquetAssembler>> ParquetAssembler::Make(
    std::unique_ptr<StagedFile> output, std::shared_ptr<ParquetSource> base, GuardedPool* pool) {
  auto out = std::unique_ptr<ParquetAssembler>(new ParquetAssembler());
  out->staged_path_ = output->path();
  ARROW_ASSIGN_OR_RAISE(out->sink_, StagedOutput::Make(std::move(output), pool));
  ARROW_ASSIGN_OR_RAISE(out->charge_, Reservation::Make(pool->budget(), 0));
  out->base_ = std::move(base);
  out->footer_ = out->base_->footer();
  ARROW_RETURN_NOT_OK(out->sink_->Write(kMagic, 4));
  return out;
}

arrow::Status ParquetAssembler::CopyRowGroup(int base_row_group) {
  ARROW_RETURN_NOT_OK(BeginRowGroup(base_row_group));
  for (int c = 0; c < base_->metadata()->num_columns(); ++c) ARROW_RETURN_NOT_OK(CopyChunk(c));
  return EndRowGroup(base_->row_group_tree(base_row_group).GetInt(field::row_group::kNumRows, 0));
}

arrow::Status ParquetAssembler::BeginRowGroup(int base_row_group) {
  base_group_ = base_row_group;
  group_ = base_->row_group_tree(base_row_group);
  const auto columns = static_cast<size_t>(base_->metadata()->num_columns());
  reordered_.assign(columns, false);
  trailers_.emplace_back(columns);
  return arrow::Status::OK();
}

arrow::Result<ParquetAssembler::Trailer> ParquetAssembler::ReadTrailer(int column,
                                                                       int64_t shift) const {
  const Value& chunk = base_->chunk_tree(base_group_, column);
  Trailer trailer;
  const int64_t column_index = chunk.GetInt(field::column_chunk::kColumnIndexOffset, -1);
  const int64_t offset_index = chunk.GetInt(field::column_chunk::kOffsetIndexOffset, -1);
  if (column_index > 0) {
    ARROW_ASSIGN_OR_RAISE(
        trailer.column_index,
        base_->ReadRange(column_index, chunk.GetInt(field::column_chunk::kColumnIndexLength, 0)));
  }
  if (offset_index > 0) {
    ARROW_ASSIGN_OR_RAISE(
        trailer.offset_index,
        base_->ReadRange(offset_index, chunk.GetInt(field::column_chunk::kOffsetIndexLength, 0)));
    ARROW_RETURN_NOT_OK(ShiftOffsetIndex(shift, &trailer.offset_index));
  }
  ARROW_ASSIGN_OR_RAISE(trailer.bloom_filter, base_->ReadBloomFilter(base_group_, column));
  return trailer;
}

arrow::Status ParquetAssembler::Charge(const Trailer& trailer) {
  const auto bytes = static_cast<int64_t>(
      trailer.column_index.size() + trailer.offset_index.size() + trailer.bloom_filter.size());
  return charge_.Resize(charge_.bytes() + bytes);
}

arrow::Status ParquetAssembler::CopyChunk(int column) {
  const ChunkRange range = base_->chunk_range(base_group_, column);
  const int64_t shift = sink_->position() - range.offset;
  ARROW_ASSIGN_OR_RAISE(Trailer trailer, ReadTrailer(column, shift));
  ARROW_RETURN_NOT_OK(Charge(trailer));
  ARROW_RETURN_NOT_OK(sink_->CopyFrom(base_->fd(), range.offset, range.length));
  Value* chunk = ChunkOf(&group_, column);
  Shift(chunk, field::column_chunk::kFileOffset, shift);
  Value* meta = chunk->Find(field::column_chunk::kMetaData);
  Shift(meta, field::column_metadata::kDataPageOffset, shift);
  Shift(meta, field::column_metadata::kIndexPageOffset, shift);
  Shift(meta, field::column_metadata::kDictionaryPageOffset, shift);
  trailers_.back()[static_cast<size_t>(column)] = std::move(trailer);
  result_.copied_bytes += range.length;
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::AddEncodedChunk(int column, EncodedChunk chunk) {
  ARROW_ASSIGN_OR_RAISE(Value tree, thrift::ParseStruct(chunk.column_chunk, nullptr));
  const Value* meta = tree.Find(field::column_chunk::kMetaData);
  const Value* base_meta =
      base_->chunk_tree(base_group_, column).Find(field::column_chunk::kMetaData);
  const auto same = [&](int16_t id) {
    std::string a;
    std::string b;
    Value left;
    Value right;
    left.type = right.type = Type::kStruct;
    if (meta->Find(id) != nullptr) left.Set(id, *meta->Find(id));
    if (base_meta->Find(id) != nullptr) right.Set(id, *base_meta->Find(id));
    thrift::AppendStruct(left, &a);
    thrift::AppendStruct(right, &b);
    return a == b;
  };
  // Chunks of another physical type under this footer would make a file that no reader opens.
  if (meta == nullptr || !same(field::column_metadata::kType) ||
      !same(field::column_metadata::kPath)) {
    return arrow::Status::Invalid("an encoded chunk does not fit column ", column);
  }
  result_.encoded_bytes += meta->GetInt(field::column_metadata::kTotalCompressedSize, 0);
  const bool keeps_order = chunk.keeps_order;
  Trailer trailer{std::move(chunk.column_index), std::move(chunk.offset_index),
                  std::move(chunk.bloom_filter)};
  ARROW_RETURN_NOT_OK(Charge(trailer));
  trailers_.back()[static_cast<size_t>(column)] = std::move(trailer);
  *ChunkOf(&group_, column) = std::move(tree);
  reordered_[static_cast<size_t>(column)] = !keeps_order;
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::EndRowGroup(int64_t num_rows) {
  int64_t uncompressed = 0;
  int64_t compressed = 0;
  int64_t first = -1;
  for (const Value& chunk : group_.Find(field::row_group::kColumns)->elements) {
    const Value& meta = *chunk.Find(field::column_chunk::kMetaData);
    uncompressed += meta.GetInt(field::column_metadata::kTotalUncompressedSize, 0);
    compressed += meta.GetInt(field::column_metadata::kTotalCompressedSize, 0);
    if (first < 0) {
      const int64_t data = meta.GetInt(field::column_metadata::kDataPageOffset, 0);
      const int64_t dictionary = meta.GetInt(field::column_metadata::kDictionaryPageOffset, 0);
      first = dictionary > 0 && dictionary < data ? dictionary : data;
    }
  }
  group_.SetInt(field::row_group::kTotalByteSize, Type::kI64, uncompressed);
  group_.SetInt(field::row_group::kNumRows, Type::kI64, num_rows);
  // Optional fields stay absent where the writer left them out.
  if (group_.Find(field::row_group::kFileOffset) != nullptr) {
    group_.SetInt(field::row_group::kFileOffset, Type::kI64, std::max<int64_t>(first, 0));
  }
  if (group_.Find(field::row_group::kTotalCompressedSize) != nullptr) {
    group_.SetInt(field::row_group::kTotalCompressedSize, Type::kI64, compressed);
  }
  if (group_.Find(field::row_group::kOrdinal) != nullptr) {
    group_.SetInt(field::row_group::kOrdinal, Type::kI16, static_cast<int64_t>(groups_.size()));
  }
  if (Value* sorting = group_.Find(field::row_group::kSortingColumns)) {
    auto first_reordered =
        std::find_if(sorting->elements.begin(), sorting->elements.end(), [&](const Value& column) {
          const int64_t index = column.GetInt(field::sorting_column::kColumnIndex, 0);
          return index < 0 || index >= static_cast<int64_t>(reordered_.size()) ||
                 reordered_[static_cast<size_t>(index)];
        });
    sorting->elements.erase(first_reordered, sorting->elements.end());
    if (sorting->elements.empty()) group_.Erase(field::row_group::kSortingColumns);
  }
  result_.num_rows += num_rows;
  groups_.push_back(std::move(group_));
  group_ = Value{};
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::WriteTrailers() {
  // The order of the format's own description: bloom filters, column indexes, offset indexes.
  for (int kind = 0; kind < 3; ++kind) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (size_t c = 0; c < trailers_[g].size(); ++c) {
        Value* chunk = ChunkOf(&groups_[g], static_cast<int>(c));
        Value* owner = kind == 0 ? chunk->Find(field::column_chunk::kMetaData) : chunk;
        const int16_t offset_id = kind == 0   ? field::column_metadata::kBloomFilterOffset
                                  : kind == 1 ? field::column_chunk::kColumnIndexOffset
                                              : field::column_chunk::kOffsetIndexOffset;
        const int16_t length_id = kind == 0   ? field::column_metadata::kBloomFilterLength
                                  : kind == 1 ? field::column_chunk::kColumnIndexLength
                                              : field::column_chunk::kOffsetIndexLength;
        const Trailer& trailer = trailers_[g][c];
        const std::string& bytes = kind == 0   ? trailer.bloom_filter
                                   : kind == 1 ? trailer.column_index
                                               : trailer.offset_index;
        if (bytes.empty()) {
          owner->Erase(offset_id);
          owner->Erase(length_id);
          continue;
        }
        owner->SetInt(offset_id, Type::kI64, sink_->position());
        owner->SetInt(length_id, Type::kI32, static_cast<int64_t>(bytes.size()));
        ARROW_RETURN_NOT_OK(sink_->Write(bytes.data(), static_cast<int64_t>(bytes.size())));
      }
    }
  }
  return arrow::Status::OK();
}

arrow::Result<AssembledFile> ParquetAssembler::Finish() {
  ARROW_RETURN_NOT_OK(WriteTrailers());
  footer_.SetInt(field::file_metadata::kNumRows, Type::kI64, result_.num_rows);
  Value* groups = footer_.Find(field::file_metadata::kRowGroups);
  groups->elements = std::move(groups_);
  std::string footer;
  thrift::AppendStruct(footer_, &footer);
  const auto length = static_cast<uint32_t>(footer.size());
  footer.append(reinterpret_cast<const char*>(&length), sizeof(length));
  footer.append(kMagic, 4);
  ARROW_RETURN_NOT_OK(sink_->Write(footer.data(), static_cast<int64_t>(footer.size())));
  result_.size_bytes = sink_->position();
  result_.staged_path = staged_path_;
  ARROW_RETURN_NOT_OK(sink_->Sync());
  ARROW_RETURN_NOT_OK(sink_->Close());
  return std::move(result_);
}

}  // namespace floodwall

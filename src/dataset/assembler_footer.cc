// What ParquetAssembler writes behind the row groups: bloom filters, page index, footer. The base
// file's footer is passed over row group by row group, so that no footer is ever in memory whole.

#include <algorithm>
#include <limits>
#include <utility>

#include "dataset/parquet_assembler.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::StructWriter;
using thrift::Type;

/// Copies ranges of the base in the order given, neighbours in one go.
class RangeCopier {
 public:
  RangeCopier(StagedOutput* sink, const ParquetSource& base) : sink_(sink), base_(base) {}
  arrow::Status Add(const ByteRange& range) {
    if (range.length > 0 && pending_.length > 0 &&
        pending_.offset + pending_.length == range.offset) {
      pending_.length += range.length;
      return arrow::Status::OK();
    }
    ARROW_RETURN_NOT_OK(Flush());
    pending_ = range;
    return arrow::Status::OK();
  }
  arrow::Status Flush() {
    const ByteRange range = std::exchange(pending_, {});
    if (range.length == 0) return arrow::Status::OK();
    if (range.offset < 4 || range.offset > base_.size_bytes() ||
        range.length > base_.size_bytes() - range.offset) {
      return base_.Corrupt("an index or a bloom filter lies outside the file");
    }
    return sink_->CopyFrom(base_.fd(), range.offset, range.length);
  }

 private:
  StagedOutput* sink_;
  const ParquetSource& base_;
  ByteRange pending_;
};

arrow::Status WriteText(const std::string& bytes, StagedOutput* sink) {
  return sink->Write(bytes.data(), static_cast<int64_t>(bytes.size()));
}

}  // namespace

/// visit(chunk, its encoded ColumnChunk, base row group, column) for all, in order.
template <typename Visit>
arrow::Status ParquetAssembler::ForEachChunk(const Visit& visit) {
  for (OutRowGroup& group : groups_) {
    const bool any_copied = std::any_of(group.chunks.begin(), group.chunks.end(),
                                        [](const OutChunk& chunk) { return chunk.encoded == 0; });
    std::string bytes;
    if (any_copied) {
      ARROW_ASSIGN_OR_RAISE(bytes, base_->ReadRowGroupBytes(group.base));
    }
    for (int c = 0; c < static_cast<int>(group.chunks.size()); ++c) {
      OutChunk& chunk = group.chunks[static_cast<size_t>(c)];
      const std::string_view encoded = chunk.encoded != 0
                                           ? encoded_[chunk.encoded - 1].column_chunk
                                           : base_->chunk_bytes(bytes, group.base, c);
      ARROW_RETURN_NOT_OK(visit(&chunk, encoded, group.base, c));
    }
  }
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::WriteBloomFilters() {
  RangeCopier copier(sink_.get(), *base_);
  ARROW_RETURN_NOT_OK(ForEachChunk([&](OutChunk* chunk, std::string_view, int group, int column) {
    if (chunk->encoded == 0) {
      ARROW_ASSIGN_OR_RAISE(const ByteRange range, base_->FindBloomFilter(group, column));
      return copier.Add(range);
    }
    ARROW_RETURN_NOT_OK(copier.Flush());
    return WriteText(encoded_[chunk->encoded - 1].bloom_filter, sink_.get());
  }));
  return copier.Flush();
}

arrow::Status ParquetAssembler::WriteColumnIndexes() {
  RangeCopier copier(sink_.get(), *base_);
  ARROW_RETURN_NOT_OK(ForEachChunk([&](OutChunk* chunk, std::string_view bytes, int, int) {
    if (chunk->encoded == 0) {
      ARROW_ASSIGN_OR_RAISE(const ChunkFacts facts, ReadChunkFacts(bytes));
      return copier.Add(facts.column_index);
    }
    ARROW_RETURN_NOT_OK(copier.Flush());
    return WriteText(encoded_[chunk->encoded - 1].column_index, sink_.get());
  }));
  return copier.Flush();
}

arrow::Status ParquetAssembler::WriteOffsetIndexes() {
  const int64_t charged = charge_.bytes();
  return ForEachChunk([&](OutChunk* chunk, std::string_view bytes, int group, int column) {
    if (chunk->encoded != 0) {
      const std::string& index = encoded_[chunk->encoded - 1].offset_index;
      chunk->offset_index_bytes = static_cast<uint32_t>(index.size());
      return WriteText(index, sink_.get());
    }
    ARROW_ASSIGN_OR_RAISE(const ChunkFacts facts, ReadChunkFacts(bytes));
    const ByteRange range = facts.offset_index;
    if (range.length == 0) return arrow::Status::OK();
    // As it was and as it becomes, with offsets of up to ten bytes where there was one.
    ARROW_RETURN_NOT_OK(charge_.Resize(charged + kOffsetIndexRoom * range.length));
    ARROW_ASSIGN_OR_RAISE(const std::string index, base_->ReadRange(range.offset, range.length));
    std::string moved;
    moved.reserve(index.size() + index.size() / 4);
    const ChunkRange pages = base_->chunk_range(group, column);
    const ByteRange new_pages{pages.offset + chunk->shift, pages.length};
    const arrow::Status status = AppendMovedOffsetIndex(index, chunk->shift, new_pages, &moved);
    if (!status.ok()) return base_->Corrupt(status.message());
    chunk->offset_index_bytes = static_cast<uint32_t>(moved.size());
    ARROW_RETURN_NOT_OK(WriteText(moved, sink_.get()));
    return charge_.Resize(charged);
  });
}

arrow::Status ParquetAssembler::AppendRowGroup(size_t index, TrailerPositions* at,
                                               std::string* out) {
  const OutRowGroup& group = groups_[index];
  ARROW_ASSIGN_OR_RAISE(thrift::Value fields, base_->ReadRowGroupFields(group.base));
  ARROW_ASSIGN_OR_RAISE(const std::string base_bytes, base_->ReadRowGroupBytes(group.base));
  StructWriter writer(out);
  writer.Begin(field::row_group::kColumns, Type::kList);
  thrift::AppendListHeader(Type::kStruct, group.chunks.size(), out);
  int64_t uncompressed = 0;
  int64_t compressed = 0;
  const auto place = [](int64_t* position, int64_t length) {
    const ByteRange range{*position, length};
    *position += length;
    return range;
  };
  for (int c = 0; c < static_cast<int>(group.chunks.size()); ++c) {
    const OutChunk& chunk = group.chunks[static_cast<size_t>(c)];
    const EncodedChunk* encoded = chunk.encoded != 0 ? &encoded_[chunk.encoded - 1] : nullptr;
    const std::string_view bytes =
        encoded != nullptr ? encoded->column_chunk : base_->chunk_bytes(base_bytes, group.base, c);
    ARROW_ASSIGN_OR_RAISE(const ChunkFacts facts, ReadChunkFacts(bytes));
    uncompressed += facts.uncompressed_bytes;
    compressed += facts.compressed_bytes;
    int64_t bloom_bytes = 0;
    if (encoded != nullptr) {
      bloom_bytes = static_cast<int64_t>(encoded->bloom_filter.size());
    } else {
      ARROW_ASSIGN_OR_RAISE(const ByteRange range, base_->FindBloomFilter(group.base, c));
      bloom_bytes = range.length;
    }
    const int64_t index_bytes = encoded != nullptr
                                    ? static_cast<int64_t>(encoded->column_index.size())
                                    : facts.column_index.length;
    ChunkPlace moved;
    moved.shift = chunk.shift;
    moved.bloom_filter = place(&at->bloom_filter, bloom_bytes);
    moved.column_index = place(&at->column_index, index_bytes);
    moved.offset_index = place(&at->offset_index, chunk.offset_index_bytes);
    ARROW_RETURN_NOT_OK(AppendMovedChunk(bytes, moved, out));
  }
  fields.SetInt(field::row_group::kTotalByteSize, Type::kI64, uncompressed);
  fields.SetInt(field::row_group::kNumRows, Type::kI64, group.num_rows);
  // Optional fields stay absent where the writer left them out.
  if (fields.Find(field::row_group::kFileOffset) != nullptr) {
    fields.SetInt(field::row_group::kFileOffset, Type::kI64, group.begin);
  }
  if (fields.Find(field::row_group::kTotalCompressedSize) != nullptr) {
    fields.SetInt(field::row_group::kTotalCompressedSize, Type::kI64, compressed);
  }
  if (fields.Find(field::row_group::kOrdinal) != nullptr) {
    if (index <= static_cast<size_t>(std::numeric_limits<int16_t>::max())) {
      fields.SetInt(field::row_group::kOrdinal, Type::kI16, static_cast<int64_t>(index));
    } else {
      fields.Erase(field::row_group::kOrdinal);
    }
  }
  if (thrift::Value* sorting = fields.Find(field::row_group::kSortingColumns)) {
    const auto untrue = std::find_if(
        sorting->elements.begin(), sorting->elements.end(), [&](const thrift::Value& column) {
          const int64_t c = column.GetInt(field::sorting_column::kColumnIndex, -1);
          if (c < 0 || c >= static_cast<int64_t>(group.chunks.size())) return true;
          const OutChunk& chunk = group.chunks[static_cast<size_t>(c)];
          return chunk.encoded != 0 && !encoded_[chunk.encoded - 1].only_rows_removed;
        });
    sorting->elements.erase(untrue, sorting->elements.end());
    if (sorting->elements.empty()) fields.Erase(field::row_group::kSortingColumns);
  }
  for (const thrift::Field& f : fields.fields) {
    writer.Begin(f.id, f.value.type);
    if (f.value.type != Type::kTrue && f.value.type != Type::kFalse) {
      thrift::AppendValue(f.value, out);
    }
  }
  writer.Stop();
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::WriteFooter(TrailerPositions at) {
  const int64_t begin = sink_->position();
  const std::string& header = header_.empty() ? base_->footer_header() : header_;
  std::string out;
  StructWriter writer(&out);
  const auto write_groups = [&]() -> arrow::Status {
    writer.Integer(field::file_metadata::kNumRows, Type::kI64, result_.num_rows);
    writer.Begin(field::file_metadata::kRowGroups, Type::kList);
    thrift::AppendListHeader(Type::kStruct, groups_.size(), &out);
    for (size_t g = 0; g < groups_.size(); ++g) {
      ARROW_RETURN_NOT_OK(AppendRowGroup(g, &at, &out));
      ARROW_RETURN_NOT_OK(WriteText(out, sink_.get()));
      out.clear();
    }
    return arrow::Status::OK();
  };
  Cursor cursor(header);
  StructScope scope;
  FieldHeader f;
  bool done = false;
  while (cursor.Next(&scope, &f)) {
    if (!done && f.id > field::file_metadata::kRowGroups) {
      ARROW_RETURN_NOT_OK(write_groups());
      done = true;
    }
    const auto value = static_cast<size_t>(cursor.position());
    cursor.Skip(f.type, 1);
    writer.Raw(
        f.id, f.type,
        std::string_view(header).substr(value, static_cast<size_t>(cursor.position()) - value));
  }
  ARROW_RETURN_NOT_OK(cursor.status());
  if (!done) ARROW_RETURN_NOT_OK(write_groups());
  writer.Stop();
  ARROW_RETURN_NOT_OK(WriteText(out, sink_.get()));
  const int64_t footer = sink_->position() - begin;
  if (footer > std::numeric_limits<int32_t>::max()) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "the new footer would be longer than 2 GiB: '" + base_->path() + "'");
  }
  const auto length = static_cast<uint32_t>(footer);
  ARROW_RETURN_NOT_OK(sink_->Write(&length, sizeof(length)));
  return sink_->Write("PAR1", 4);
}

arrow::Result<AssembledFile> ParquetAssembler::DoFinish() {
  // The order of the format's own description.
  TrailerPositions at;
  at.bloom_filter = sink_->position();
  ARROW_RETURN_NOT_OK(WriteBloomFilters());
  at.column_index = sink_->position();
  ARROW_RETURN_NOT_OK(WriteColumnIndexes());
  at.offset_index = sink_->position();
  ARROW_RETURN_NOT_OK(WriteOffsetIndexes());
  ARROW_RETURN_NOT_OK(WriteFooter(at));
  result_.size_bytes = sink_->position();
  result_.staged_path = staged_path_;
  ARROW_RETURN_NOT_OK(sink_->Sync());
  ARROW_RETURN_NOT_OK(sink_->Close());
  return std::move(result_);
}

}  // namespace floodwall

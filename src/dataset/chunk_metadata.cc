#include "dataset/chunk_metadata.h"

#include "dataset/parquet_thrift.h"
#include "dataset/thrift_cursor.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
namespace meta_id = parquet_field::column_metadata;
namespace chunk_id = parquet_field::column_chunk;
using thrift::ContainerHeader;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::StructWriter;
using thrift::Type;

arrow::Status Refuse(const char* why) { return MakeError(ErrorKind::kUnsupportedFile, why); }

/// Passes over a field's value and gives its bytes.
std::string_view Take(Cursor* cursor, std::string_view data, Type type, int depth) {
  const auto begin = static_cast<size_t>(cursor->position());
  cursor->Skip(type, depth);
  return data.substr(begin, static_cast<size_t>(cursor->position()) - begin);
}

/// Offsets of 0 stand for "none" in some files. Nonsense may wrap; it is nonsense before and after.
int64_t Moved(int64_t offset, int64_t shift) {
  if (offset <= 0) return offset;
  return static_cast<int64_t>(static_cast<uint64_t>(offset) + static_cast<uint64_t>(shift));
}

void AppendRange(const ByteRange& range, int16_t offset_id, int16_t length_id,
                 StructWriter* writer) {
  if (range.length == 0) return;
  writer->Integer(offset_id, Type::kI64, range.offset);
  writer->Integer(length_id, Type::kI32, range.length);
}

void AppendMovedMetaData(Cursor* cursor, std::string_view data, const ChunkPlace& place,
                         std::string* out) {
  StructWriter writer(out);
  StructScope scope;
  FieldHeader f;
  bool placed = false;
  const auto put_bloom_filter = [&] {
    AppendRange(place.bloom_filter, meta_id::kBloomFilterOffset, meta_id::kBloomFilterLength,
                &writer);
    placed = true;
  };
  while (cursor->Next(&scope, &f)) {
    if (!placed && f.id > meta_id::kBloomFilterLength) put_bloom_filter();
    switch (f.id) {
      case meta_id::kDataPageOffset:
      case meta_id::kIndexPageOffset:
      case meta_id::kDictionaryPageOffset:
        writer.Integer(f.id, f.type, Moved(cursor->Integer(f.type), place.shift));
        break;
      case meta_id::kBloomFilterOffset:
      case meta_id::kBloomFilterLength: cursor->Skip(f.type, 2); break;
      default: writer.Raw(f.id, f.type, Take(cursor, data, f.type, 2));
    }
  }
  if (!placed) put_bloom_filter();
  writer.Stop();
}

}  // namespace

arrow::Result<ChunkFacts> ReadChunkFacts(std::string_view column_chunk) {
  ChunkFacts out;
  Cursor cursor(column_chunk);
  StructScope scope;
  FieldHeader f;
  bool has_metadata = false;
  int64_t data = 0;
  int64_t dictionary = 0;
  const auto read_metadata = [&] {
    StructScope inner;
    FieldHeader m;
    while (cursor.Next(&inner, &m)) {
      int64_t* number = m.id == meta_id::kNumValues               ? &out.num_values
                        : m.id == meta_id::kTotalUncompressedSize ? &out.uncompressed_bytes
                        : m.id == meta_id::kTotalCompressedSize   ? &out.compressed_bytes
                        : m.id == meta_id::kDataPageOffset        ? &data
                        : m.id == meta_id::kDictionaryPageOffset  ? &dictionary
                                                                  : nullptr;
      if (number != nullptr && m.type == Type::kI64) {
        *number = cursor.Integer(m.type);
        continue;
      }
      const std::string_view bytes = Take(&cursor, column_chunk, m.type, 2);
      if (m.id == meta_id::kType) out.type = bytes;
      if (m.id == meta_id::kPath) out.path = bytes;
    }
    has_metadata = true;
  };
  while (cursor.Next(&scope, &f)) {
    int64_t* number = f.id == chunk_id::kColumnIndexOffset   ? &out.column_index.offset
                      : f.id == chunk_id::kColumnIndexLength ? &out.column_index.length
                      : f.id == chunk_id::kOffsetIndexOffset ? &out.offset_index.offset
                      : f.id == chunk_id::kOffsetIndexLength ? &out.offset_index.length
                                                             : nullptr;
    if (f.id == chunk_id::kMetaData && f.type == Type::kStruct) {
      read_metadata();
    } else if (number != nullptr && (f.type == Type::kI32 || f.type == Type::kI64)) {
      *number = cursor.Integer(f.type);
    } else {
      cursor.Skip(f.type, 1);
    }
  }
  ARROW_RETURN_NOT_OK(cursor.status());
  if (!has_metadata) return Refuse("a column chunk has no metadata");
  for (ByteRange* range : {&out.column_index, &out.offset_index}) {
    if (range->offset <= 0 || range->length <= 0) *range = {};
  }
  out.first_page = dictionary > 0 && (dictionary < data || data == 0) ? dictionary : data;
  return out;
}

arrow::Status AppendMovedChunk(std::string_view column_chunk, const ChunkPlace& place,
                               std::string* out) {
  Cursor cursor(column_chunk);
  StructWriter writer(out);
  StructScope scope;
  FieldHeader f;
  bool placed = false;
  const auto put_indexes = [&] {
    AppendRange(place.offset_index, chunk_id::kOffsetIndexOffset, chunk_id::kOffsetIndexLength,
                &writer);
    AppendRange(place.column_index, chunk_id::kColumnIndexOffset, chunk_id::kColumnIndexLength,
                &writer);
    placed = true;
  };
  while (cursor.Next(&scope, &f)) {
    if (!placed && f.id > chunk_id::kColumnIndexLength) put_indexes();
    switch (f.id) {
      case chunk_id::kFileOffset:
        writer.Integer(f.id, f.type, Moved(cursor.Integer(f.type), place.shift));
        break;
      case chunk_id::kMetaData:
        if (f.type != Type::kStruct) return Refuse("column chunk metadata");
        writer.Begin(f.id, f.type);
        AppendMovedMetaData(&cursor, column_chunk, place, out);
        break;
      case chunk_id::kOffsetIndexOffset:
      case chunk_id::kOffsetIndexLength:
      case chunk_id::kColumnIndexOffset:
      case chunk_id::kColumnIndexLength: cursor.Skip(f.type, 1); break;
      default: writer.Raw(f.id, f.type, Take(&cursor, column_chunk, f.type, 1));
    }
  }
  if (!placed) put_indexes();
  writer.Stop();
  return cursor.status();
}

namespace {

void AppendMovedLocation(Cursor* cursor, std::string_view data, int64_t shift,
                         const ByteRange& pages, std::string* out) {
  StructWriter writer(out);
  StructScope scope;
  FieldHeader f;
  int64_t offset = -1;
  int64_t length = 0;
  while (cursor->Next(&scope, &f)) {
    if (f.id == field::page_location::kOffset && f.type == Type::kI64) {
      offset = Moved(cursor->Integer(f.type), shift);
      writer.Integer(f.id, f.type, offset);
    } else if (f.id == field::page_location::kCompressedPageSize && f.type == Type::kI32) {
      length = cursor->Integer(f.type);
      writer.Integer(f.id, f.type, length);
    } else {
      writer.Raw(f.id, f.type, Take(cursor, data, f.type, 3));
    }
  }
  writer.Stop();
  if (offset < pages.offset || length < 0 || offset > pages.offset + pages.length ||
      length > pages.offset + pages.length - offset) {
    cursor->Fail("a page location lies outside its chunk");
  }
}

}  // namespace

arrow::Status AppendMovedOffsetIndex(std::string_view offset_index, int64_t shift,
                                     const ByteRange& pages, std::string* out) {
  Cursor cursor(offset_index);
  StructWriter writer(out);
  StructScope scope;
  FieldHeader f;
  bool has_locations = false;
  while (cursor.Next(&scope, &f)) {
    if (f.id != field::offset_index::kPageLocations) {
      writer.Raw(f.id, f.type, Take(&cursor, offset_index, f.type, 1));
      continue;
    }
    if (f.type != Type::kList) return Refuse("an offset index has no list of pages");
    writer.Begin(f.id, f.type);
    const ContainerHeader list = cursor.List();
    if (list.count > 0 && list.element != Type::kStruct) {
      return Refuse("page locations are no structs");
    }
    thrift::AppendListHeader(Type::kStruct, list.count, out);
    for (uint64_t i = 0; i < list.count && cursor.ok(); ++i) {
      AppendMovedLocation(&cursor, offset_index, shift, pages, out);
    }
    has_locations = true;
  }
  writer.Stop();
  ARROW_RETURN_NOT_OK(cursor.status());
  return has_locations ? arrow::Status::OK() : Refuse("an offset index has no page locations");
}

}  // namespace floodwall

#include "dataset/page_index.h"

#include "dataset/parquet_thrift.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::ContainerHeader;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::Type;

/// A page takes at least this in the index: two numbers and two lengths at the least.
constexpr int64_t kBytesPerByte =
    static_cast<int64_t>(sizeof(PageIndex::Page) + sizeof(PageIndex::Bounds)) / 4;

/// Whether a list of as many elements as there are pages follows.
bool Expect(Cursor* cursor, const FieldHeader& f, Type element, size_t pages) {
  if (f.type != Type::kList) return false;
  const ContainerHeader list = cursor->List();
  return cursor->ok() && list.count == pages &&
         (list.element == element || (element == Type::kTrue && list.element == Type::kFalse));
}

}  // namespace

arrow::Result<std::optional<PageIndex>> PageIndex::Read(const ParquetSource& file, int row_group,
                                                        int column, int64_t max_bytes) {
  if (!file.has_page_index(row_group, column)) return std::nullopt;
  if (file.schema().Column(column)->max_repetition_level() > 0) return std::nullopt;
  ARROW_ASSIGN_OR_RAISE(const thrift::Value chunk, file.ReadChunk(row_group, column));
  const auto range = [&](int16_t offset, int16_t length) {
    return ByteRange{chunk.GetInt(offset, -1), chunk.GetInt(length, -1)};
  };
  namespace id = field::column_chunk;
  const ByteRange offsets = range(id::kOffsetIndexOffset, id::kOffsetIndexLength);
  const ByteRange bounds = range(id::kColumnIndexOffset, id::kColumnIndexLength);
  for (const ByteRange& part : {offsets, bounds}) {
    if (part.offset < 4 || part.length <= 0 || part.length > max_bytes ||
        part.offset > file.size_bytes() - part.length) {
      return std::nullopt;
    }
  }
  PageIndex out;
  out.index_bytes_ = offsets.length + bounds.length;
  if (out.index_bytes_ > max_bytes) return std::nullopt;
  auto charge = Reservation::Make(file.budget(), out.index_bytes_ * (2 + kBytesPerByte));
  if (!charge.ok()) return std::nullopt;
  out.charge_ = std::move(*charge);
  ARROW_ASSIGN_OR_RAISE(std::string encoded, file.ReadRange(offsets.offset, offsets.length));
  if (!out.ReadOffsets(encoded, file.chunk_range(row_group, column),
                       file.row_group_rows(row_group))) {
    return std::nullopt;
  }
  ARROW_ASSIGN_OR_RAISE(encoded, file.ReadRange(bounds.offset, bounds.length));
  out.encoded_.assign(encoded.begin(), encoded.end());
  if (!out.ReadBounds({out.encoded_.data(), out.encoded_.size()})) out.bounds_.clear();
  return out;
}

bool PageIndex::ReadOffsets(std::string_view encoded, const ByteRange& chunk, int64_t rows) {
  Cursor cursor(encoded);
  StructScope scope;
  FieldHeader f;
  const int64_t chunk_end = chunk.offset + chunk.length;
  while (cursor.Next(&scope, &f)) {
    if (f.id != field::offset_index::kPageLocations) {
      cursor.Skip(f.type, 1);
      continue;
    }
    if (f.type != Type::kList || !pages_.empty()) return false;
    const ContainerHeader list = cursor.List();
    if (!cursor.ok() || list.element != Type::kStruct || list.count == 0 ||
        list.count > encoded.size() / 4) {
      return false;
    }
    pages_.reserve(list.count);
    for (uint64_t i = 0; i < list.count; ++i) {
      Page page;
      page.rows.begin = -1;
      StructScope inner;
      while (cursor.Next(&inner, &f)) {
        if (f.id == field::page_location::kOffset && f.type == Type::kI64) {
          page.bytes.offset = cursor.Integer(f.type);
        } else if (f.id == field::page_location::kCompressedPageSize && f.type == Type::kI32) {
          page.bytes.length = cursor.Integer(f.type);
        } else if (f.id == field::page_location::kFirstRow && f.type == Type::kI64) {
          page.rows.begin = cursor.Integer(f.type);
        } else {
          cursor.Skip(f.type, 2);
        }
      }
      if (!cursor.ok()) return false;
      const int64_t least =
          pages_.empty() ? chunk.offset : pages_.back().bytes.offset + pages_.back().bytes.length;
      if (page.bytes.offset < least || page.bytes.length <= 0 || page.bytes.offset > chunk_end ||
          page.bytes.length > chunk_end - page.bytes.offset || page.rows.begin >= rows) {
        return false;
      }
      if (pages_.empty() ? page.rows.begin != 0 : page.rows.begin <= pages_.back().rows.begin) {
        return false;
      }
      if (!pages_.empty()) pages_.back().rows.end = page.rows.begin;
      page.rows.end = rows;
      pages_.push_back(page);
    }
  }
  if (!cursor.ok() || pages_.empty()) return false;
  dictionary_bytes_ = pages_.front().bytes.offset - chunk.offset;
  return true;
}

bool PageIndex::ReadBounds(std::string_view encoded) {
  namespace id = field::column_index;
  Cursor cursor(encoded);
  StructScope scope;
  FieldHeader f;
  bool has_nulls = false;
  bool has_min = false;
  bool has_max = false;
  bounds_.resize(pages_.size());
  while (cursor.Next(&scope, &f)) {
    switch (f.id) {
      case id::kNullPages:
        if (!Expect(&cursor, f, Type::kTrue, pages_.size())) return false;
        for (Bounds& page : bounds_) page.all_null = cursor.Integer(Type::kByte) == 1;
        has_nulls = true;
        break;
      case id::kMinValues:
        if (!Expect(&cursor, f, Type::kBinary, pages_.size())) return false;
        for (Bounds& page : bounds_) page.min = cursor.View();
        has_min = true;
        break;
      case id::kMaxValues:
        if (!Expect(&cursor, f, Type::kBinary, pages_.size())) return false;
        for (Bounds& page : bounds_) page.max = cursor.View();
        has_max = true;
        break;
      case id::kNullCounts:
        if (!Expect(&cursor, f, Type::kI64, pages_.size())) return false;
        for (Bounds& page : bounds_) page.null_count = cursor.Integer(Type::kI64);
        break;
      default: cursor.Skip(f.type, 1);
    }
  }
  if (!cursor.ok() || !has_nulls || !has_min || !has_max) return false;
  for (size_t p = 0; p < bounds_.size(); ++p) {
    const auto& nulls = bounds_[p].null_count;
    const int64_t rows = pages_[p].rows.end - pages_[p].rows.begin;
    // Numbers that cannot be: nothing else that this index says counts either.
    if (nulls && (*nulls < 0 || *nulls > rows || (*nulls == rows) != bounds_[p].all_null)) {
      return false;
    }
  }
  return true;
}

}  // namespace floodwall

// ParquetSource's walk over page headers: what a reader of the chunk will need.

#include <algorithm>
#include <array>

#include "dataset/parquet_source.h"
#include "dataset/parquet_thrift.h"
#include "dataset/pread_file.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::Type;

/// Most headers are shorter; longer ones are read on through the same window.
constexpr size_t kWindow = 2 << 10;
/// As Arrow's readers: a longer header is not read.
constexpr int64_t kMaxHeader = 16 << 20;

struct PageHeader {
  int64_t type = -1;
  int64_t compressed = -1;
  int64_t uncompressed = -1;
  int64_t encoding = -1;  ///< of a data page
  bool has_crc = false;
};

/// The encoding in a DataPageHeader or DataPageHeaderV2.
int64_t ReadEncoding(Cursor* cursor, int16_t encoding_id) {
  StructScope scope;
  FieldHeader f;
  int64_t encoding = -1;
  while (cursor->Next(&scope, &f)) {
    if (f.id == encoding_id && f.type == Type::kI32) {
      encoding = cursor->Integer(f.type);
    } else {
      cursor->Skip(f.type, 2);
    }
  }
  return encoding;
}

PageHeader ReadHeader(Cursor* cursor) {
  PageHeader out;
  int64_t v1 = -1;
  int64_t v2 = -1;
  StructScope scope;
  FieldHeader f;
  while (cursor->Next(&scope, &f)) {
    const bool number = f.type == Type::kI32;
    if (f.id == field::page_header::kType && number) {
      out.type = cursor->Integer(f.type);
    } else if (f.id == field::page_header::kUncompressedSize && number) {
      out.uncompressed = cursor->Integer(f.type);
    } else if (f.id == field::page_header::kCompressedSize && number) {
      out.compressed = cursor->Integer(f.type);
    } else if (f.id == field::page_header::kDataPage && f.type == Type::kStruct) {
      v1 = ReadEncoding(cursor, field::kDataPageEncoding);
    } else if (f.id == field::page_header::kDataPageV2 && f.type == Type::kStruct) {
      v2 = ReadEncoding(cursor, field::kDataPageV2Encoding);
    } else {
      out.has_crc |= f.id == field::page_header::kCrc;
      cursor->Skip(f.type, 1);
    }
  }
  out.encoding = out.type == field::page_header::kTypeDataV2 ? v2 : v1;
  return out;
}

}  // namespace

arrow::Result<PageSummary> ParquetSource::ScanPages(int row_group, int column) const {
  PageSummary out;
  const ChunkRange range = chunk_range(row_group, column);
  const int64_t end = range.offset + range.length;
  std::array<char, kWindow> buffer;
  WindowInput input(fd_, path_, buffer);
  Cursor cursor(&input, range.offset, end);
  bool plain_seen = false;
  while (cursor.position() < end) {
    const int64_t begin = cursor.position();
    const PageHeader header = ReadHeader(&cursor);
    if (!cursor.ok()) {
      return cursor.status().IsIOError() ? cursor.status() : Corrupt("page header");
    }
    if (cursor.position() - begin > kMaxHeader) return Corrupt("page header is too long");
    if (header.compressed < 0 || header.uncompressed < 0 ||
        header.compressed > end - cursor.position()) {
      return Corrupt("page sizes");
    }
    cursor.Seek(cursor.position() + header.compressed);
    out.has_crc |= header.has_crc;
    if (header.type == field::page_header::kTypeDictionary) {
      // Only the first page of a chunk can be its dictionary.
      if (begin != range.offset) return Corrupt("a dictionary page behind others");
      out.has_dictionary = true;
      out.dictionary_compressed_bytes = header.compressed;
      out.dictionary_uncompressed_bytes = header.uncompressed;
      continue;
    }
    const bool v2 = header.type == field::page_header::kTypeDataV2;
    if (header.type != field::page_header::kTypeData && !v2) continue;
    if (header.encoding < 0) return Corrupt("page header");
    if (header.encoding != field::kEncodingPlainDictionary &&
        header.encoding != field::kEncodingRleDictionary) {
      plain_seen = true;
      out.fallback_encoding = header.encoding;
    }
    out.data_page_v2 |= v2;
    ++out.page_count;
    out.max_compressed_bytes = std::max(out.max_compressed_bytes, header.compressed);
    out.max_uncompressed_bytes = std::max(out.max_uncompressed_bytes, header.uncompressed);
  }
  out.all_dictionary_encoded = out.has_dictionary && !plain_seen;
  return out;
}

}  // namespace floodwall

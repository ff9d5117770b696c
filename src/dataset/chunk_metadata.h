#pragma once

/// Reads and changes parquet.thrift ColumnChunk and OffsetIndex structs in their encoded form:
/// every byte that is not an offset is taken over as it is, unknown fields included.
///
/// Threading: pure functions. Errors: kUnsupportedFile for bytes that are no such struct. Units:
/// bytes. Memory: none but what is appended.

#include <cstdint>
#include <string>
#include <string_view>

#include "arrow/result.h"

namespace floodwall {

struct ByteRange {
  int64_t offset = 0;
  int64_t length = 0;  ///< 0: there is none
};
/// Where the bytes of one column chunk lie: dictionary page (if any) and data pages.
using ChunkRange = ByteRange;

/// What an encoded ColumnChunk says of itself.
struct ChunkFacts {
  std::string_view type;  ///< encoded, with `path` what makes it belong to a column
  std::string_view path;
  int64_t num_values = 0;
  int64_t uncompressed_bytes = 0;
  int64_t compressed_bytes = 0;
  int64_t first_page = 0;
  ByteRange column_index;
  ByteRange offset_index;
};
arrow::Result<ChunkFacts> ReadChunkFacts(std::string_view column_chunk);

/// Where a chunk and what belongs to it went.
struct ChunkPlace {
  int64_t shift = 0;  ///< added to the offsets of its pages
  ByteRange bloom_filter;
  ByteRange column_index;
  ByteRange offset_index;
};
arrow::Status AppendMovedChunk(std::string_view column_chunk, const ChunkPlace& place,
                               std::string* out);

/// Appends an OffsetIndex with its pages moved by `shift`; the moved pages must lie in `pages`.
arrow::Status AppendMovedOffsetIndex(std::string_view offset_index, int64_t shift,
                                     const ByteRange& pages, std::string* out);

}  // namespace floodwall

#pragma once

/// How long the byte arrays of a column chunk are, without decoding them: from the page headers
/// where pages are small, else from the lengths in the pages. What a rewrite or a reader of the
/// chunk takes hangs on it: one value can be as long as its page, and longer where values share
/// prefixes.
///
/// Threading: pure. Errors: kUnsupportedFile for pages that cannot be read, OutOfMemory. Units:
/// bytes. Memory: from the pool, one page, compressed and not.

#include <cstdint>
#include <span>

#include "arrow/result.h"
#include "dataset/chunk_pages.h"

namespace floodwall {

struct ByteArraySizes {
  int64_t longest = 0;     ///< upper bound of a value's length
  int64_t page_bytes = 0;  ///< of the values of a data page together, decoded; dictionaries apart
};

/// Bounds that need not be exact below `small` bytes. Other types than byte arrays: their width.
arrow::Result<ByteArraySizes> MeasureByteArrays(const BaseChunk& chunk, const ChunkPages& pages,
                                                int64_t small, GuardedPool* pool);

/// Of its dictionary's entries the longest, of those values the longest that may share prefixes.
arrow::Result<int64_t> LongestEntry(const BaseChunk& chunk, const ChunkPages& pages, int64_t small,
                                    GuardedPool* pool);
arrow::Result<int64_t> LongestOfPrefixes(const BaseChunk& chunk, const ChunkPages& pages,
                                         GuardedPool* pool);

/// Of the values section of one page.
arrow::Result<ByteArraySizes> MeasurePage(std::span<const uint8_t> values, int64_t encoding);

}  // namespace floodwall

#pragma once

/// The values section of one data page in its encoded form: old values by index, and the section
/// again with some of them replaced, removed or inserted. One class an encoding; the page patcher
/// is the caller.
///
/// Threading: one thread. Errors: kUnsupportedFile for bytes that are no such section. Units:
/// values of the page, nulls not among them. Lifetime: borrows page and dictionary. Memory: from
/// the pool; only DELTA encodings and BYTE_STREAM_SPLIT hold all values decoded.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "arrow/result.h"
#include "dataset/byte_buffer.h"
#include "floodwall/guarded_pool.h"
#include "merge/chunk_dictionary.h"
#include "parquet/schema.h"

namespace floodwall {

/// One change: the value at `index` goes (erases), `value` comes before what follows (inserts).
struct ValueEdit {
  int32_t index = 0;
  uint32_t code = ChunkDictionary::kNoCode;  ///< of `value` in the dictionary
  bool erases = false;
  bool inserts = false;
  std::string_view value;
};

class PageValues {
 public:
  /// Whether pages of this encoding can be patched.
  static bool Supports(int64_t encoding, const parquet::ColumnDescriptor& column);
  /// `bytes` of `count` values. The dictionary is needed for its two encodings only.
  static arrow::Result<std::unique_ptr<PageValues>> Make(int64_t encoding,
                                                         const parquet::ColumnDescriptor& column,
                                                         std::span<uint8_t> bytes, int64_t count,
                                                         const ChunkDictionary* dictionary,
                                                         GuardedPool* pool);
  virtual ~PageValues() = default;
  PageValues(const PageValues&) = delete;
  PageValues& operator=(const PageValues&) = delete;

  /// An old value; indices do not descend. Valid until Apply.
  virtual arrow::Result<std::string_view> At(int64_t index) = 0;
  /// True when all edits could be made in the page's own bytes.
  virtual arrow::Result<bool> ApplyInPlace(std::span<const ValueEdit>) { return false; }
  /// Appends the section of the values [begin, end) with the edits; ranges ascend.
  virtual arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                               ByteBuffer* out) = 0;

 protected:
  PageValues() = default;
};

/// Appends dictionary-encoded values as PLAIN ones.
arrow::Status AppendAsPlain(std::span<const uint8_t> bytes, int64_t count,
                            const parquet::ColumnDescriptor& column,
                            const ChunkDictionary& dictionary, std::span<const ValueEdit> edits,
                            int64_t begin, int64_t end, ByteBuffer* out);

/// For encodings that Parquet's own decoder and encoder handle; null for others.
std::unique_ptr<PageValues> MakeDecodedValues(int64_t encoding,
                                              const parquet::ColumnDescriptor& column,
                                              std::span<const uint8_t> bytes, int64_t count,
                                              GuardedPool* pool);

}  // namespace floodwall

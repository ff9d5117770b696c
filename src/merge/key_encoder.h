#pragma once

/// Turns batches of key columns into canonical keys (see key_schema.h).
///
/// Threading: an encoder belongs to one thread; the schema is shared. Errors: OutOfMemory
/// from the pool, kSchemaMismatch for a value that cannot be decoded. Lifetime: a KeyBatch's
/// views are valid until the next Encode. Memory: buffers from the given pool, reused.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "arrow/array.h"
#include "arrow/memory_pool.h"
#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "arrow/stl_allocator.h"
#include "merge/key_schema.h"

namespace floodwall {

template <typename T>
using PoolVector = std::vector<T, arrow::stl::allocator<T>>;

/// A key of at most 16 bytes, flags included.
struct InlineKey {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const InlineKey&) const = default;
};

/// The keys of one batch, inline or as byte strings.
struct KeyBatch {
  explicit KeyBatch(arrow::MemoryPool* pool)
      : inlined(arrow::stl::allocator<InlineKey>(pool)),
        offsets(arrow::stl::allocator<int64_t>(pool)),
        bytes(arrow::stl::allocator<char>(pool)),
        has_null(arrow::stl::allocator<uint8_t>(pool)) {}

  int64_t length = 0;
  PoolVector<InlineKey> inlined;  ///< [length] when the schema is inlined
  PoolVector<int64_t> offsets;    ///< [length + 1] otherwise
  PoolVector<char> bytes;
  PoolVector<uint8_t> has_null;  ///< [length] 1 where a component is null

  std::string_view Bytes(int64_t row) const {
    const auto i = static_cast<size_t>(row);
    return {bytes.data() + offsets[i], static_cast<size_t>(offsets[i + 1] - offsets[i])};
  }
};

class KeyEncoder {
 public:
  KeyEncoder(const KeySchema* schema, arrow::MemoryPool* pool);

  /// columns: one array a component, of equal length. std::bad_alloc is turned into
  /// OutOfMemory.
  arrow::Status Encode(const std::vector<std::shared_ptr<arrow::Array>>& columns, KeyBatch* out);

 private:
  arrow::Status EncodeInline(const std::vector<std::shared_ptr<arrow::Array>>& columns,
                             KeyBatch* out);
  arrow::Status EncodeBytes(const std::vector<std::shared_ptr<arrow::Array>>& columns,
                            KeyBatch* out);

  const KeySchema* schema_;
  arrow::MemoryPool* pool_;
};

/// Decodes dictionaries and run-ends, strips extensions: the values that decide equality.
arrow::Result<std::shared_ptr<arrow::Array>> DensifyKeys(std::shared_ptr<arrow::Array> array,
                                                         arrow::MemoryPool* pool);

/// Prints the key of one row for an error: "(id=7, name=\"a\")".
std::string PrintKey(const KeySchema& schema,
                     const std::vector<std::shared_ptr<arrow::Array>>& columns, int64_t row);

}  // namespace floodwall

#pragma once

/// One bit a row, of the source or of the target.
///
/// Threading: Set and Get from any threads. Errors: OutOfMemory from the pool.
/// Lifetime: the pool outlives the bitmap.

#include <cstdint>
#include <memory>

#include "arrow/buffer.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"

namespace floodwall {

class RowBitmap {
 public:
  /// All bits clear.
  static arrow::Result<RowBitmap> Make(int64_t length, arrow::MemoryPool* pool);
  /// Returns whether this call set the bit; false when it was set before.
  bool Set(int64_t i);
  void Clear(int64_t i);
  bool Get(int64_t i) const;
  int64_t Count() const;
  /// Bits set in [begin, end).
  int64_t CountRange(int64_t begin, int64_t end) const;

 private:
  std::shared_ptr<arrow::Buffer> words_;
};

}  // namespace floodwall

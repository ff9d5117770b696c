#pragma once

/// Decides which of several rows with one key counts: by the order_by columns, then by position.
///
/// The values of the columns become one byte string a row, such that memcmp compares as the values
/// do: nulls lowest, numbers by value (one NaN above all, one zero), strings and binary bytewise.
/// Kept for the row that is ahead of each key, under an id of the caller's.
///
/// Threading: one thread. Errors: kSchemaMismatch for columns that have no order (nested) or not
/// one type, OutOfMemory. Memory: 8 bytes an id and the byte string, from the given pool.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/array.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"
#include "floodwall/merge_options.h"
#include "merge/key_encoder.h"

namespace floodwall {

class RowOrder {
 public:
  /// capacity: ids run from 0 to capacity - 1. types[i]: those of column i, source or files.
  static arrow::Result<RowOrder> Make(
      const std::vector<std::string>& columns,
      const std::vector<std::vector<std::shared_ptr<arrow::DataType>>>& types,
      SourceDuplicates keep, int64_t capacity, arrow::MemoryPool* pool);

  /// Reads the order_by columns of a batch; rows are then named by their place in it.
  arrow::Status Load(const std::vector<std::shared_ptr<arrow::Array>>& columns);

  /// As Load, from byte strings that Loaded() gave.
  void LoadStored(const std::vector<std::string>& values) { loaded_ = values; }
  std::string_view Loaded(int64_t row) const { return loaded_[static_cast<size_t>(row)]; }

  /// Remembers the loaded row under an id.
  arrow::Status Put(int64_t id, int64_t row);
  /// Whether the loaded row, which stands behind the one remembered, is ahead of it.
  bool Beats(int64_t row, int64_t id) const;
  /// As Put, taking over the memory of `old_id`, which is forgotten.
  arrow::Status Replace(int64_t old_id, int64_t id, int64_t row);

 private:
  std::vector<std::string> names_;
  bool last_ = true;
  arrow::MemoryPool* pool_ = nullptr;
  std::vector<std::string> loaded_;
  std::shared_ptr<arrow::Buffer> slots_;
  std::vector<std::shared_ptr<arrow::Buffer>> arena_;
  char* next_ = nullptr;
  int64_t left_ = 0;
};

}  // namespace floodwall

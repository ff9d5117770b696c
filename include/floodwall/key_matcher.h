#pragma once

/// Finds rows by key, exactly as a merge does: for callers who hold the rows themselves.
///
/// Keys compare by logical value whatever their types (int32 and int64, string and dictionary,
/// timestamps of different units); null equals null, NaN equals NaN, -0.0 equals 0.0. No hash
/// decides anything.
///
/// Threading: Find from many threads. Errors: kSchemaMismatch for keys that cannot be compared or
/// are nested, OutOfMemory from the pool. Units: rows. Lifetime: copies the keys it needs; the
/// pool outlives it. Memory: 32 bytes a row, and the bytes of keys longer than 15 bytes.

#include <memory>
#include <string>
#include <vector>

#include "arrow/memory_pool.h"
#include "arrow/result.h"
#include "arrow/type_fwd.h"
#include "floodwall/export.h"

namespace floodwall {

class FLOODWALL_EXPORT KeyMatcher {
 public:
  /// Keeps the keys of `rows`, for look-ups in rows of `other`'s key types. Of rows with one key
  /// the last counts. `key_columns` name columns of both.
  static arrow::Result<std::unique_ptr<KeyMatcher>> Make(
      const arrow::Table& rows, const arrow::Schema& other,
      const std::vector<std::string>& key_columns,
      arrow::MemoryPool* pool = arrow::default_memory_pool());
  ~KeyMatcher();

  /// Positions of the rows that count, one a key, ascending. int64.
  const std::shared_ptr<arrow::Array>& winners() const { return winners_; }

  /// For each row of `batch` the position of the row with its key that counts; null without one.
  /// int64, `batch.num_rows()` values.
  arrow::Result<std::shared_ptr<arrow::Array>> Find(const arrow::RecordBatch& batch) const;

 private:
  struct State;
  explicit KeyMatcher(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
  std::shared_ptr<arrow::Array> winners_;
};

}  // namespace floodwall

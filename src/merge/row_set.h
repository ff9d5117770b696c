#pragma once

/// Rows of a merge's source that are found by ordinal: the rewrite and the insert take their
/// columns from them, a slice at a time.
///
/// Threading: from many threads, except sets that read from spill files. Errors: OutOfMemory from
/// the pools, kSpill. Units: rows, bytes. Lifetime: outlives nothing but its source. Memory: what
/// is taken comes from the pool given, for a moment twice.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "arrow/array.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"
#include "arrow/table.h"
#include "merge/ordinal_places.h"

namespace floodwall {

class RowSet {
 public:
  virtual ~RowSet() = default;
  /// The values of one column for the given ordinals, in that order, in one array.
  virtual arrow::Result<std::shared_ptr<arrow::Array>> Take(int column,
                                                            std::span<const int64_t> ordinals,
                                                            arrow::MemoryPool* pool) const = 0;
  /// The same in two steps, for several columns: where the ordinals are (int64), and the values
  /// there. A set without places of its own uses the ordinals.
  virtual arrow::Result<std::shared_ptr<arrow::Array>> Positions(std::span<const int64_t> ordinals,
                                                                 arrow::MemoryPool* pool) const;
  virtual arrow::Result<std::shared_ptr<arrow::Array>> TakeAt(
      int column, const std::shared_ptr<arrow::Array>& positions, arrow::MemoryPool* pool) const;
  /// How many of the leading positions to take at once, so that their values have at most `bytes`:
  /// one at least.
  virtual arrow::Result<int64_t> CountWithin(int column,
                                             const std::shared_ptr<arrow::Array>& positions,
                                             int64_t bytes) const = 0;
};

/// Rows in memory.
class LoadedRows final : public RowSet {
 public:
  /// Every row of the table; ordinals are positions.
  explicit LoadedRows(std::shared_ptr<arrow::Table> table) : table_(std::move(table)) {}
  /// Row i of the table has ordinal ordinals[i]; ascending.
  LoadedRows(std::shared_ptr<arrow::Table> table, std::vector<int64_t> ordinals)
      : table_(std::move(table)), places_(std::move(ordinals)), sparse_(true) {}

  arrow::Result<std::shared_ptr<arrow::Array>> Take(int column, std::span<const int64_t> ordinals,
                                                    arrow::MemoryPool* pool) const override;
  arrow::Result<std::shared_ptr<arrow::Array>> Positions(std::span<const int64_t> ordinals,
                                                         arrow::MemoryPool* pool) const override;
  arrow::Result<std::shared_ptr<arrow::Array>> TakeAt(
      int column, const std::shared_ptr<arrow::Array>& positions,
      arrow::MemoryPool* pool) const override;
  arrow::Result<int64_t> CountWithin(int column, const std::shared_ptr<arrow::Array>& positions,
                                     int64_t bytes) const override;
  const std::shared_ptr<arrow::Table>& table() const { return table_; }

 private:
  std::shared_ptr<arrow::Table> table_;
  OrdinalPlaces places_;
  bool sparse_ = false;
};

/// The values at the given positions of a column, in that order, in one array. Touches the chunks
/// they lie in and no others: Arrow's own take joins all chunks of strings first, a copy of the
/// whole column.
arrow::Result<std::shared_ptr<arrow::Array>> TakeFromChunks(const arrow::ChunkedArray& column,
                                                            const arrow::Int64Array& positions,
                                                            arrow::MemoryPool* pool);

/// See RowSet::CountWithin.
int64_t CountWithin(const arrow::ChunkedArray& column, std::span<const int64_t> positions,
                    int64_t bytes);

}  // namespace floodwall

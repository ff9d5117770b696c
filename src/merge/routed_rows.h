#pragma once

/// Source rows on their way to the target rows they replace, by way of spill files: for a source
/// whose matched rows do not fit in memory.
///
/// The target's positions are cut into windows. One pass over the source (one for each group of
/// columns that can be read together) deals every matched row out to the windows that want
/// it, and its position to the same windows. The rewrite then asks for one row group after
/// another and takes its columns one by one: in memory are the positions and ordinals of a
/// window and the columns of it that fit.
///
/// Threading: made by one thread, then read by several, each with a Reader of its own. Errors:
/// kSpill, kMemoryLimitTooSmall, OutOfMemory. Memory: while routing what is free of the budget,
/// later the share given for each reader. Lifetime: borrows everything but what it spilled;
/// readers go before it.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrow/result.h"
#include "merge/row_source.h"
#include "merge/target.h"
#include "spill/record_sorter.h"
#include "spill/row_spill.h"
#include "spill/spill_streams.h"

namespace floodwall {

/// Target positions [first, last) and what is known about the rows that replace some of them.
struct RowWindow {
  int64_t first = 0;
  int64_t last = 0;
};

class RoutedRows {
 public:
  /// matches: ordinal and position. columns: those the rewrite takes. share: memory that rows
  /// may take in each reader.
  static arrow::Result<std::unique_ptr<RoutedRows>> Make(const Target& target, RowSource* source,
                                                         std::vector<std::string> columns,
                                                         RecordSorter* matches, int64_t share,
                                                         RunContext* context);

  /// Bytes that a matched row takes beside its values: position, ordinal, and the ordinal again.
  static constexpr int64_t kRowBytes = 2 * sizeof(SpillRecord);

 private:
  friend class RowRouter;
  friend class WindowRows;
  friend class RoutedReader;
  RoutedRows() = default;

  RunContext* context_ = nullptr;
  int64_t share_ = 0;
  int64_t widest_ = 0;  ///< bytes that a value of the widest column is planned to take
  std::vector<RowWindow> windows_;
  std::unique_ptr<SpillStreams> positions_;          ///< a stream a window
  std::vector<std::unique_ptr<RowSpill>> payloads_;  ///< a chain a window; by group of columns
  std::vector<std::pair<int, int>> places_;          ///< of a source column: payload, column in it
};

/// What one thread holds of them.
class RoutedReader {
 public:
  static arrow::Result<std::unique_ptr<RoutedReader>> Make(std::shared_ptr<const RoutedRows> rows);

  /// Fills the group's matches and returns where their rows can be taken from until the next
  /// call. Neighbouring groups one after another cost least.
  arrow::Result<std::shared_ptr<const RowSet>> Load(TargetRowGroup* group);

 private:
  explicit RoutedReader(std::shared_ptr<const RoutedRows> rows) : routed_(std::move(rows)) {}
  arrow::Status LoadRecords(size_t window);

  std::shared_ptr<const RoutedRows> routed_;
  size_t loaded_ = SIZE_MAX;          ///< window whose records are loaded
  std::vector<SpillRecord> records_;  ///< position and ordinal, by position
  Reservation records_charge_;
  Reservation matches_charge_;
  std::shared_ptr<const RowSet> rows_;
  size_t rows_first_ = SIZE_MAX;  ///< windows that rows_ reads
  size_t rows_last_ = 0;
};

}  // namespace floodwall

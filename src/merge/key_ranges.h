#pragma once

/// Which values the source's keys take, to leave out row groups of the target that hold none.
///
/// For each key column a few intervals cover all values of the source; a row group whose
/// statistics (parquet.thrift Statistics, min_value and max_value) meet none of them has no row
/// that matches. Whatever is in doubt keeps the row group: other types than integers, dates,
/// timestamps, times, strings and binary, types that differ between source and file in more than
/// width, statistics that are missing or that Arrow does not trust, nulls on both sides.
///
/// Threading: Observe from one thread; afterwards MayMatch from many. Errors: MayMatch, of reading
/// a footer.
/// Memory: kMostIntervals a column and, while observing, 24 bytes for each of kSliceRows; not
/// counted. Lifetime: values.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow/array.h"
#include "arrow/result.h"
#include "dataset/parquet_source.h"

namespace floodwall {

class KeyRanges {
 public:
  static constexpr size_t kMostIntervals = 256;
  static constexpr int64_t kSliceRows = 32768;
  /// Beyond so many source rows a batch is covered by one interval: sorting would cost more than
  /// it spares.
  static constexpr int64_t kMostSortedRows = int64_t{4} << 20;

  KeyRanges() = default;  ///< of no columns: everything may match
  /// `source_rows`: how many will be observed.
  KeyRanges(const std::vector<std::string>& key_columns, int64_t source_rows);

  /// One array a key column.
  void Observe(const std::vector<std::shared_ptr<arrow::Array>>& columns);

  /// False when no row of the row group can have a key of the source.
  arrow::Result<bool> MayMatch(const ParquetSource& file, int row_group) const;

 private:
  /// Signed and unsigned integers are mapped to one order: the sign bit is flipped for signed ones.
  struct Interval {
    uint64_t low;
    uint64_t high;
  };
  struct Column {
    std::string name;
    std::shared_ptr<arrow::DataType> type;  ///< null until a value was seen
    bool known = true;                      ///< all values so far are covered
    bool has_null = false;
    std::vector<Interval> intervals;  ///< of integers, ascending, apart
    bool has_bytes = false;
    std::string least, most;  ///< of byte strings
  };

  void ObserveColumn(const arrow::Array& values, Column* column);
  void ObserveIntegers(const arrow::Array& values, Column* column);
  static void Reduce(std::vector<Interval>* intervals);
  static void ObserveBytes(const arrow::Array& values, Column* column);
  static bool Meets(const Column& column, const parquet::ColumnChunkMetaData& chunk,
                    const parquet::ColumnDescriptor& descriptor);

  std::vector<Column> columns_;
  bool sorted_ = false;
};

}  // namespace floodwall

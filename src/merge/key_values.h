#pragma once

/// Which values one key column of the source takes, as far as bounds, dictionaries and filters of
/// a file can be asked for them: few intervals that cover all values and, while there are few,
/// the values themselves. KeyRanges and the pruning of row groups are the callers.
///
/// Known are integers, dates, timestamps, strings and binary, against columns that differ from
/// the source's type in width at most: there the same value has the same order and, up to its
/// width, the same bytes. All other columns are in doubt.
///
/// Threading: Observe from one thread; afterwards questions from many. Errors: none. Memory:
/// kMostIntervals, kMostValues and kMostTextBytes; while observing 24 bytes for each of
/// kSliceRows; not counted. Lifetime: values.

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/array.h"
#include "parquet/schema.h"

namespace floodwall {

class KeyValues {
 public:
  static constexpr size_t kMostIntervals = 256;
  static constexpr int64_t kSliceRows = 32768;
  /// Of more values only intervals are known, of more bytes only the least and the greatest.
  static constexpr size_t kMostValues = 1024;
  static constexpr size_t kMostTextBytes = 64 << 10;

  /// `sorted`: whether values are worth being sorted.
  KeyValues(std::string name, bool sorted)
      : name_(std::move(name)), sorted_(sorted), exact_(sorted) {}

  void Observe(const arrow::Array& values);

  const std::string& name() const { return name_; }
  bool known() const { return known_; }
  bool has_null() const { return has_null_; }
  /// Every value is known, not only intervals around them.
  bool exact() const { return known_ && exact_; }
  size_t count() const;  ///< of exact values

  /// What the column's bounds and values say can be compared with these. Only then:
  bool CanCompare(const parquet::ColumnDescriptor& stored) const;
  /// False: no value lies within the bounds, in PLAIN encoding without a length.
  bool MayLieWithin(std::string_view min, std::string_view max) const;
  /// False: the value, encoded so, is none of these.
  bool MayBe(std::string_view value) const { return MayLieWithin(value, value); }
  /// XXH64 of every exact value as the column would store it.
  void AppendHashes(const parquet::ColumnDescriptor& stored, std::vector<uint64_t>* out) const;

 private:
  /// Signed and unsigned integers are mapped to one order: the sign bit is flipped for signed ones.
  struct Interval {
    uint64_t low;
    uint64_t high;
  };

  void ObserveValid(const arrow::Array& values);
  void ObserveIntegers(const arrow::Array& values);
  void ObserveBytes(const arrow::Array& values);
  static void Reduce(std::vector<Interval>* intervals);
  void GiveUpExact();
  /// False for bytes that are no integer.
  bool ToOrdered(std::string_view plain, uint64_t* out) const;

  std::string name_;
  std::shared_ptr<arrow::DataType> type_;  ///< null until a value was seen
  bool sorted_;
  bool exact_;
  bool known_ = true;  ///< all values so far are covered
  bool has_null_ = false;
  std::vector<Interval> intervals_;  ///< of integers, ascending, apart
  std::vector<uint64_t> integers_;   ///< ascending
  bool has_bytes_ = false;
  std::string least_, most_;  ///< of byte strings
  std::set<std::string, std::less<>> texts_;
  size_t text_bytes_ = 0;
};

}  // namespace floodwall

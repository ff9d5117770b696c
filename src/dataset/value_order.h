#pragma once

/// The sort order of a column over encoded values, and bounds that follow changes of them: what
/// keeps statistics and column indexes true when pages are patched.
///
/// Values are the bytes of Parquet's PLAIN encoding without a length, as in statistics.
/// A bound may be wider than the values, never narrower; it is called exact only while a value
/// that equals it is surely there. In doubt there is no bound.
///
/// Threading: values. Errors: none.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dataset/compact_thrift.h"
#include "parquet/schema.h"
#include "parquet/statistics.h"

namespace floodwall {

class ValueOrder {
 public:
  explicit ValueOrder(const parquet::ColumnDescriptor* column);

  /// False: the format defines no order, there can be no bounds.
  bool known() const { return comparator_ != nullptr; }
  bool Less(std::string_view a, std::string_view b) const;
  /// Whether the bytes are a value of the column that bounds may name: of its length, no NaN.
  bool Bounds(std::string_view value) const;
  /// A zero of floating point as the bound it makes: -0 below, +0 above.
  std::string AsBound(std::string_view value, bool lower) const;

 private:
  bool IsZero(std::string_view value) const;

  std::shared_ptr<parquet::Comparator> comparator_;
  parquet::Type::type type_;
  int type_length_;
  bool half_;
};

/// Bounds of a set of values that changes.
class ValueBounds {
 public:
  /// Longer values are no bounds: the bound is given up instead.
  static constexpr size_t kMaxBytes = 4096;

  /// No values yet, or none that are known.
  ValueBounds(const ValueOrder* order, bool known) : order_(order), known_(known) {}
  /// As found in Statistics; null, incomplete or senseless: not known.
  static ValueBounds FromStatistics(const ValueOrder* order, const thrift::Value* statistics);
  /// As found in a column index.
  static ValueBounds FromRange(const ValueOrder* order, std::string_view min, std::string_view max);

  void Added(std::string_view value);
  void Removed(std::string_view value);

  bool known() const { return known_; }
  /// Known, and there is a bound to name.
  bool present() const { return known_ && (base_ || added_); }
  std::string min() const;
  std::string max() const;
  /// Sets or erases min, max and their exactness.
  void WriteTo(thrift::Value* statistics) const;

 private:
  const ValueOrder* order_;
  bool known_;
  bool base_ = false;   ///< bounds from the file
  bool added_ = false;  ///< bounds of the added values
  std::string base_min_;
  std::string base_max_;
  std::optional<bool> min_exact_;
  std::optional<bool> max_exact_;
  bool min_lost_ = false;  ///< a value that equalled the bound went
  bool max_lost_ = false;
  std::string added_min_;
  std::string added_max_;
};

}  // namespace floodwall

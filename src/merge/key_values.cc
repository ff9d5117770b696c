#include "merge/key_values.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "arrow/type_traits.h"
#include "arrow/util/checked_cast.h"
#include "arrow/visit_data_inline.h"
#include "parquet/xxhasher.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;

constexpr uint64_t kSign = uint64_t{1} << 63;
/// A longer byte string makes its column unknown: intervals are not counted against a budget.
constexpr size_t kLongestBytes = 1024;

uint64_t Ordered(int64_t value) { return static_cast<uint64_t>(value) ^ kSign; }

/// Whether the column's values in a file are of the same kind and unit as the source's.
bool IsComparable(const arrow::DataType& source, const parquet::ColumnDescriptor& stored) {
  if (stored.max_repetition_level() > 0) return false;
  const auto physical = stored.physical_type();
  const auto& logical = stored.logical_type();
  const bool plain = logical == nullptr || logical->is_none() || !logical->is_valid();
  const bool integer = physical == parquet::Type::INT32 || physical == parquet::Type::INT64;
  if (arrow::is_integer(source.id())) {
    if (!integer) return false;
    const bool is_signed =
        plain ||
        (logical->is_int() && checked_cast<const parquet::IntLogicalType&>(*logical).is_signed());
    const bool is_unsigned = !plain && logical->is_int() &&
                             !checked_cast<const parquet::IntLogicalType&>(*logical).is_signed();
    return arrow::is_signed_integer(source.id()) ? is_signed : is_unsigned;
  }
  if (source.id() == arrow::Type::DATE32) {
    return physical == parquet::Type::INT32 && !plain && logical->is_date();
  }
  const auto unit_of = [](parquet::LogicalType::TimeUnit::unit unit) {
    switch (unit) {
      case parquet::LogicalType::TimeUnit::MILLIS: return arrow::TimeUnit::MILLI;
      case parquet::LogicalType::TimeUnit::MICROS: return arrow::TimeUnit::MICRO;
      case parquet::LogicalType::TimeUnit::NANOS: return arrow::TimeUnit::NANO;
      default: return arrow::TimeUnit::SECOND;  // no file has it
    }
  };
  if (source.id() == arrow::Type::TIMESTAMP) {
    const auto unit = checked_cast<const arrow::TimestampType&>(source).unit();
    return physical == parquet::Type::INT64 && !plain && logical->is_timestamp() &&
           unit != arrow::TimeUnit::SECOND &&
           unit_of(checked_cast<const parquet::TimestampLogicalType&>(*logical).time_unit()) ==
               unit;
  }
  if (arrow::is_base_binary_like(source.id()) || arrow::is_binary_view_like(source.id())) {
    return physical == parquet::Type::BYTE_ARRAY && (plain || logical->is_string());
  }
  return false;
}

template <typename ArrowType>
void Append(const arrow::Array& values, std::vector<uint64_t>* out) {
  using Value = typename ArrowType::c_type;
  const auto append = [&](Value value) {
    if constexpr (std::is_unsigned_v<Value>) {
      out->push_back(static_cast<uint64_t>(value));
    } else {
      out->push_back(Ordered(value));
    }
  };
  arrow::VisitArraySpanInline<ArrowType>(*values.data(), append, [] {});
}

/// False for types that have no order here.
bool AppendIntegers(const arrow::Array& values, std::vector<uint64_t>* out) {
  switch (values.type_id()) {
    case arrow::Type::INT8: Append<arrow::Int8Type>(values, out); return true;
    case arrow::Type::INT16: Append<arrow::Int16Type>(values, out); return true;
    case arrow::Type::INT32: Append<arrow::Int32Type>(values, out); return true;
    case arrow::Type::INT64: Append<arrow::Int64Type>(values, out); return true;
    case arrow::Type::UINT8: Append<arrow::UInt8Type>(values, out); return true;
    case arrow::Type::UINT16: Append<arrow::UInt16Type>(values, out); return true;
    case arrow::Type::UINT32: Append<arrow::UInt32Type>(values, out); return true;
    case arrow::Type::UINT64: Append<arrow::UInt64Type>(values, out); return true;
    case arrow::Type::DATE32: Append<arrow::Date32Type>(values, out); return true;
    case arrow::Type::TIMESTAMP: Append<arrow::TimestampType>(values, out); return true;
    default: return false;
  }
}

}  // namespace

void KeyValues::Observe(const arrow::Array& values) {
  has_null_ |= values.null_count() > 0;
  if (values.null_count() < values.length()) ObserveValid(values);
}

void KeyValues::ObserveValid(const arrow::Array& values) {
  if (!known_) return;
  if (values.type_id() == arrow::Type::DICTIONARY) {
    // Values that no row has only make the intervals wider.
    const auto& dictionary = *checked_cast<const arrow::DictionaryArray&>(values).dictionary();
    has_null_ |= dictionary.null_count() > 0;
    ObserveValid(dictionary);
    return;
  }
  if (type_ == nullptr) type_ = values.type();
  if (!type_->Equals(*values.type())) {
    known_ = false;
  } else if (arrow::is_base_binary_like(values.type_id()) ||
             arrow::is_binary_view_like(values.type_id())) {
    ObserveBytes(values);
  } else {
    ObserveIntegers(values);
  }
}

void KeyValues::ObserveIntegers(const arrow::Array& values) {
  std::vector<uint64_t> all;
  for (int64_t first = 0; first < values.length(); first += kSliceRows) {
    all.clear();
    if (!AppendIntegers(*values.Slice(first, kSliceRows), &all)) {
      known_ = false;
      return;
    }
    if (all.empty()) continue;
    if (sorted_) {
      if (!std::is_sorted(all.begin(), all.end())) std::sort(all.begin(), all.end());
      for (const uint64_t value : all) intervals_.push_back({value, value});
    } else {
      const auto [low, high] = std::minmax_element(all.begin(), all.end());
      intervals_.push_back({*low, *high});
    }
    Reduce(&intervals_);
    if (!exact_) continue;
    all.erase(std::unique(all.begin(), all.end()), all.end());
    std::vector<uint64_t> both;
    std::set_union(integers_.begin(), integers_.end(), all.begin(), all.end(),
                   std::back_inserter(both));
    integers_ = std::move(both);
    if (integers_.size() > kMostValues) GiveUpExact();
  }
}

void KeyValues::Reduce(std::vector<Interval>* intervals) {
  std::sort(intervals->begin(), intervals->end(),
            [](const Interval& a, const Interval& b) { return a.low < b.low; });
  size_t kept = 0;
  for (const Interval& next : *intervals) {
    if (kept > 0 && next.low <= (*intervals)[kept - 1].high) {
      (*intervals)[kept - 1].high = std::max((*intervals)[kept - 1].high, next.high);
    } else {
      (*intervals)[kept++] = next;
    }
  }
  intervals->resize(kept);
  if (kept <= kMostIntervals) return;
  // The widest gaps stay; what lies between two of them becomes one interval.
  std::vector<uint64_t> gaps;
  gaps.reserve(kept - 1);
  for (size_t i = 1; i < kept; ++i) gaps.push_back((*intervals)[i].low - (*intervals)[i - 1].high);
  auto nth = gaps.begin() + static_cast<std::ptrdiff_t>(kMostIntervals - 1);
  std::nth_element(gaps.begin(), nth, gaps.end(), std::greater<>());
  const uint64_t narrowest = *nth;
  size_t out = 0;
  for (size_t i = 1; i < kept; ++i) {
    const Interval& next = (*intervals)[i];
    if (next.low - (*intervals)[i - 1].high <= narrowest) {
      (*intervals)[out].high = next.high;
    } else {
      (*intervals)[++out] = next;
    }
  }
  intervals->resize(out + 1);
}

void KeyValues::ObserveBytes(const arrow::Array& values) {
  const auto observe = [&](std::string_view value) {
    if (!has_bytes_ || value < least_) least_ = value;
    if (!has_bytes_ || value > most_) most_ = value;
    has_bytes_ = true;
    if (!exact_ || texts_.contains(value)) return;
    text_bytes_ += value.size();
    if (texts_.size() >= kMostValues || text_bytes_ > kMostTextBytes) return GiveUpExact();
    texts_.emplace(value);
  };
  const auto skip = [] {};
  switch (values.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      arrow::VisitArraySpanInline<arrow::BinaryType>(*values.data(), observe, skip);
      break;
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      arrow::VisitArraySpanInline<arrow::LargeBinaryType>(*values.data(), observe, skip);
      break;
    default: arrow::VisitArraySpanInline<arrow::BinaryViewType>(*values.data(), observe, skip);
  }
  if (least_.size() > kLongestBytes || most_.size() > kLongestBytes) known_ = false;
}

void KeyValues::GiveUpExact() {
  exact_ = false;
  integers_.clear();
  integers_.shrink_to_fit();
  texts_.clear();
}

size_t KeyValues::count() const { return has_bytes_ ? texts_.size() : integers_.size(); }

bool KeyValues::CanCompare(const parquet::ColumnDescriptor& stored) const {
  return known_ && (type_ == nullptr || IsComparable(*type_, stored));
}

bool KeyValues::ToOrdered(std::string_view plain, uint64_t* out) const {
  const bool is_unsigned = arrow::is_unsigned_integer(type_->id());
  if (plain.size() == sizeof(int32_t)) {
    int32_t value = 0;
    std::memcpy(&value, plain.data(), sizeof(value));
    *out = is_unsigned ? static_cast<uint32_t>(value) : Ordered(value);
    return true;
  }
  int64_t value = 0;
  if (plain.size() != sizeof(value)) return false;
  std::memcpy(&value, plain.data(), sizeof(value));
  *out = is_unsigned ? static_cast<uint64_t>(value) : Ordered(value);
  return true;
}

bool KeyValues::MayLieWithin(std::string_view min, std::string_view max) const {
  if (type_ == nullptr) return false;  // only nulls
  if (has_bytes_) {
    if (max < min) return true;
    if (!exact_) return least_ <= max && most_ >= min;
    const auto first = texts_.lower_bound(min);
    return first != texts_.end() && *first <= max;
  }
  uint64_t low = 0;
  uint64_t high = 0;
  if (!ToOrdered(min, &low) || !ToOrdered(max, &high) || high < low) return true;
  if (exact_) {
    const auto first = std::lower_bound(integers_.begin(), integers_.end(), low);
    return first != integers_.end() && *first <= high;
  }
  const auto first = std::lower_bound(
      intervals_.begin(), intervals_.end(), low,
      [](const Interval& interval, uint64_t value) { return interval.high < value; });
  return first != intervals_.end() && first->low <= high;
}

void KeyValues::AppendHashes(const parquet::ColumnDescriptor& stored,
                             std::vector<uint64_t>* out) const {
  const parquet::XxHasher hasher;
  for (const std::string& text : texts_) out->push_back(hasher.Hash(std::string_view(text)));
  if (has_bytes_ || type_ == nullptr) return;
  const bool is_unsigned = arrow::is_unsigned_integer(type_->id());
  for (const uint64_t ordered : integers_) {
    const auto value = static_cast<int64_t>(is_unsigned ? ordered : ordered ^ kSign);
    if (stored.physical_type() == parquet::Type::INT64) {
      out->push_back(hasher.Hash(value));
      continue;
    }
    const auto narrow = static_cast<int32_t>(value);
    // Values beyond the column's type are in no file of it.
    const int64_t back = is_unsigned ? int64_t{static_cast<uint32_t>(narrow)} : int64_t{narrow};
    if (back == value) out->push_back(hasher.Hash(narrow));
  }
}

}  // namespace floodwall

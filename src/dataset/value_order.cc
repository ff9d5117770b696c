#include "dataset/value_order.h"

#include <cmath>
#include <cstring>

#include "dataset/parquet_thrift.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

template <typename T>
T Fixed(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

template <typename DType>
bool CompareFixed(const parquet::Comparator& comparator, std::string_view a, std::string_view b) {
  using T = typename DType::c_type;
  return static_cast<const parquet::TypedComparator<DType>&>(comparator)
      .Compare(Fixed<T>(a), Fixed<T>(b));
}

const uint8_t* Bytes(std::string_view v) { return reinterpret_cast<const uint8_t*>(v.data()); }

}  // namespace

ValueOrder::ValueOrder(const parquet::ColumnDescriptor* column)
    : type_(column->physical_type()),
      type_length_(column->type_length()),
      half_(column->logical_type() && column->logical_type()->is_float16()) {
  // The order of the type itself is the only one that all readers agree on.
  if (column->column_order().get_order() != parquet::ColumnOrder::TYPE_DEFINED_ORDER ||
      column->sort_order() == parquet::SortOrder::UNKNOWN || type_ == parquet::Type::INT96) {
    return;
  }
  try {
    comparator_ = parquet::Comparator::Make(column);
  } catch (const parquet::ParquetException&) {
    comparator_ = nullptr;
  }
}

bool ValueOrder::Less(std::string_view a, std::string_view b) const {
  switch (type_) {
    case parquet::Type::BOOLEAN: return a[0] < b[0];
    case parquet::Type::INT32: return CompareFixed<parquet::Int32Type>(*comparator_, a, b);
    case parquet::Type::INT64: return CompareFixed<parquet::Int64Type>(*comparator_, a, b);
    case parquet::Type::FLOAT: return Fixed<float>(a) < Fixed<float>(b);
    case parquet::Type::DOUBLE: return Fixed<double>(a) < Fixed<double>(b);
    case parquet::Type::BYTE_ARRAY:
      return static_cast<const parquet::TypedComparator<parquet::ByteArrayType>&>(*comparator_)
          .Compare({static_cast<uint32_t>(a.size()), Bytes(a)},
                   {static_cast<uint32_t>(b.size()), Bytes(b)});
    case parquet::Type::FIXED_LEN_BYTE_ARRAY:
      return static_cast<const parquet::TypedComparator<parquet::FLBAType>&>(*comparator_)
          .Compare(parquet::FixedLenByteArray{Bytes(a)}, parquet::FixedLenByteArray{Bytes(b)});
    default: return false;
  }
}

bool ValueOrder::Bounds(std::string_view value) const {
  switch (type_) {
    case parquet::Type::BOOLEAN: return value.size() == 1;
    case parquet::Type::INT32: return value.size() == 4;
    case parquet::Type::INT64: return value.size() == 8;
    case parquet::Type::FLOAT: return value.size() == 4 && !std::isnan(Fixed<float>(value));
    case parquet::Type::DOUBLE: return value.size() == 8 && !std::isnan(Fixed<double>(value));
    case parquet::Type::BYTE_ARRAY: return true;
    case parquet::Type::FIXED_LEN_BYTE_ARRAY:
      if (value.size() != static_cast<size_t>(type_length_)) return false;
      return !half_ || (Fixed<uint16_t>(value) & 0x7fff) <= 0x7c00;
    default: return false;
  }
}

bool ValueOrder::IsZero(std::string_view value) const {
  if (type_ == parquet::Type::FLOAT) return Fixed<float>(value) == 0;
  if (type_ == parquet::Type::DOUBLE) return Fixed<double>(value) == 0;
  return half_ && (Fixed<uint16_t>(value) & 0x7fff) == 0;
}

std::string ValueOrder::AsBound(std::string_view value, bool lower) const {
  std::string out(value);
  // The sign is the highest bit of the last byte in all three widths.
  if (IsZero(value)) out.back() = static_cast<char>(lower ? 0x80 : 0);
  return out;
}

ValueBounds ValueBounds::FromRange(const ValueOrder* order, std::string_view min,
                                   std::string_view max) {
  ValueBounds out(
      order, order->known() && order->Bounds(min) && order->Bounds(max) && !order->Less(max, min));
  if (!out.known_) return out;
  out.base_ = true;
  out.base_min_ = min;
  out.base_max_ = max;
  return out;
}

ValueBounds ValueBounds::FromStatistics(const ValueOrder* order, const thrift::Value* statistics) {
  if (statistics == nullptr) return ValueBounds(order, false);
  const thrift::Value* min = statistics->Find(field::statistics::kMin);
  const thrift::Value* max = statistics->Find(field::statistics::kMax);
  if (min == nullptr || max == nullptr || min->type != thrift::Type::kBinary ||
      max->type != thrift::Type::kBinary) {
    return ValueBounds(order, false);
  }
  ValueBounds out = FromRange(order, min->bytes, max->bytes);
  const auto flag = [&](int16_t id) -> std::optional<bool> {
    const thrift::Value* value = statistics->Find(id);
    return value == nullptr ? std::nullopt : std::optional<bool>(value->integer != 0);
  };
  out.min_exact_ = flag(field::statistics::kMinExact);
  out.max_exact_ = flag(field::statistics::kMaxExact);
  return out;
}

void ValueBounds::Added(std::string_view value) {
  if (!known_) return;
  if (!order_->Bounds(value)) return;  // NaN
  if (value.size() > kMaxBytes) {
    known_ = false;
    return;
  }
  if (!added_ || order_->Less(value, added_min_)) added_min_ = order_->AsBound(value, true);
  if (!added_ || order_->Less(added_max_, value)) added_max_ = order_->AsBound(value, false);
  added_ = true;
}

void ValueBounds::Removed(std::string_view value) {
  if (!known_ || !base_ || !order_->Bounds(value)) return;
  if (!min_lost_) min_lost_ = !order_->Less(base_min_, value);
  if (!max_lost_) max_lost_ = !order_->Less(value, base_max_);
}

std::string ValueBounds::min() const {
  return base_ && (!added_ || order_->Less(base_min_, added_min_)) ? base_min_ : added_min_;
}
std::string ValueBounds::max() const {
  return base_ && (!added_ || order_->Less(added_max_, base_max_)) ? base_max_ : added_max_;
}

void ValueBounds::WriteTo(thrift::Value* statistics) const {
  for (const int16_t id : {field::statistics::kMin, field::statistics::kMax,
                           field::statistics::kMinExact, field::statistics::kMaxExact}) {
    statistics->Erase(id);
  }
  if (!present()) return;
  statistics->Set(field::statistics::kMin, thrift::Binary(min()));
  statistics->Set(field::statistics::kMax, thrift::Binary(max()));
  const auto set = [&](int16_t id, std::optional<bool> exact) {
    if (exact) {
      statistics->Set(id, thrift::Int(*exact ? thrift::Type::kTrue : thrift::Type::kFalse, *exact));
    }
  };
  const bool new_min = added_ && (!base_ || !order_->Less(base_min_, added_min_));
  const bool new_max = added_ && (!base_ || !order_->Less(added_max_, base_max_));
  // Without flags in the file none are made up, unless a bound is known not to hold exactly.
  const bool flags = min_exact_.has_value() || max_exact_.has_value();
  set(field::statistics::kMinExact, new_min     ? (flags ? std::optional(true) : std::nullopt)
                                    : min_lost_ ? std::optional(false)
                                                : min_exact_);
  set(field::statistics::kMaxExact, new_max     ? (flags ? std::optional(true) : std::nullopt)
                                    : max_lost_ ? std::optional(false)
                                                : max_exact_);
}

}  // namespace floodwall

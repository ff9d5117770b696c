#include "merge/key_ranges.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "arrow/type_traits.h"
#include "arrow/util/checked_cast.h"
#include "arrow/visit_data_inline.h"
#include "parquet/exception.h"
#include "parquet/statistics.h"

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

/// Of the statistics of a chunk, in the order of the source's values.
template <typename Physical>
std::pair<uint64_t, uint64_t> BoundsOf(const parquet::Statistics& statistics, bool is_unsigned) {
  const auto& typed = checked_cast<const parquet::TypedStatistics<Physical>&>(statistics);
  if (is_unsigned) {
    using Bits = std::make_unsigned_t<typename Physical::c_type>;
    return {static_cast<Bits>(typed.min()), static_cast<Bits>(typed.max())};
  }
  return {Ordered(typed.min()), Ordered(typed.max())};
}

std::string_view View(const parquet::ByteArray& value) {
  return {reinterpret_cast<const char*>(value.ptr), value.len};
}

}  // namespace

KeyRanges::KeyRanges(const std::vector<std::string>& key_columns, int64_t source_rows)
    : sorted_(source_rows <= kMostSortedRows) {
  for (const std::string& name : key_columns) {
    columns_.emplace_back();
    columns_.back().name = name;
  }
}

void KeyRanges::Observe(const std::vector<std::shared_ptr<arrow::Array>>& columns) {
  for (size_t c = 0; c < columns_.size(); ++c) {
    Column* column = &columns_[c];
    const arrow::Array& values = *columns[c];
    column->has_null |= values.null_count() > 0;
    if (values.null_count() < values.length()) ObserveColumn(values, column);
  }
}

void KeyRanges::ObserveColumn(const arrow::Array& values, Column* column) {
  if (!column->known) return;
  if (values.type_id() == arrow::Type::DICTIONARY) {
    // Values that no row has only make the intervals wider.
    const auto& dictionary = *checked_cast<const arrow::DictionaryArray&>(values).dictionary();
    column->has_null |= dictionary.null_count() > 0;
    ObserveColumn(dictionary, column);
    return;
  }
  if (column->type == nullptr) column->type = values.type();
  if (!column->type->Equals(*values.type())) {
    column->known = false;
  } else if (arrow::is_base_binary_like(values.type_id()) ||
             arrow::is_binary_view_like(values.type_id())) {
    ObserveBytes(values, column);
  } else {
    ObserveIntegers(values, column);
  }
}

void KeyRanges::ObserveIntegers(const arrow::Array& values, Column* column) {
  std::vector<Interval>* intervals = &column->intervals;
  std::vector<uint64_t> all;
  for (int64_t first = 0; first < values.length(); first += kSliceRows) {
    all.clear();
    if (!AppendIntegers(*values.Slice(first, kSliceRows), &all)) {
      column->known = false;
      return;
    }
    if (all.empty()) continue;
    if (sorted_) {
      if (!std::is_sorted(all.begin(), all.end())) std::sort(all.begin(), all.end());
      for (const uint64_t value : all) intervals->push_back({value, value});
    } else {
      const auto [low, high] = std::minmax_element(all.begin(), all.end());
      intervals->push_back({*low, *high});
    }
    Reduce(intervals);
  }
}

void KeyRanges::Reduce(std::vector<Interval>* intervals) {
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

void KeyRanges::ObserveBytes(const arrow::Array& values, Column* column) {
  const auto observe = [&](std::string_view value) {
    if (!column->has_bytes || value < column->least) column->least = value;
    if (!column->has_bytes || value > column->most) column->most = value;
    column->has_bytes = true;
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
  if (column->least.size() > kLongestBytes || column->most.size() > kLongestBytes) {
    column->known = false;
  }
}

bool KeyRanges::Meets(const Column& column, const parquet::ColumnChunkMetaData& chunk,
                      const parquet::ColumnDescriptor& descriptor) {
  if (!column.known) return true;
  if (column.type != nullptr && !IsComparable(*column.type, descriptor)) return true;
  const std::shared_ptr<parquet::Statistics> statistics = chunk.statistics();
  if (statistics == nullptr) return true;
  if (column.has_null && (!statistics->HasNullCount() || statistics->null_count() > 0)) return true;
  // Statistics without bounds can also be those of a column whose values the writer cannot order.
  if (!statistics->HasMinMax()) return true;
  if (column.has_bytes) {
    const auto& typed = checked_cast<const parquet::ByteArrayStatistics&>(*statistics);
    return column.least <= View(typed.max()) && column.most >= View(typed.min());
  }
  if (column.intervals.empty()) return false;  // only nulls, and the row group has none
  const bool is_unsigned = arrow::is_unsigned_integer(column.type->id());
  const auto [low, high] = descriptor.physical_type() == parquet::Type::INT32
                               ? BoundsOf<parquet::Int32Type>(*statistics, is_unsigned)
                               : BoundsOf<parquet::Int64Type>(*statistics, is_unsigned);
  const auto first = std::lower_bound(
      column.intervals.begin(), column.intervals.end(), low,
      [](const Interval& interval, uint64_t value) { return interval.high < value; });
  return first != column.intervals.end() && first->low <= high;
}

arrow::Result<bool> KeyRanges::MayMatch(const ParquetSource& file, int row_group) const {
  std::shared_ptr<parquet::FileMetaData> metadata;
  for (const Column& column : columns_) {
    if (!column.known) continue;
    for (int leaf = 0; leaf < file.num_columns(); ++leaf) {
      const auto* root = file.schema().GetColumnRoot(leaf);
      if (!root->is_primitive() || root->name() != column.name) continue;
      if (metadata == nullptr) {
        ARROW_ASSIGN_OR_RAISE(metadata, file.RowGroupMetadata(row_group));
      }
      try {
        const auto chunk = metadata->RowGroup(0)->ColumnChunk(leaf);
        if (!Meets(column, *chunk, *file.schema().Column(leaf))) return false;
      } catch (const parquet::ParquetException& error) {
        return file.Corrupt(error.what());
      }
    }
  }
  return true;
}

}  // namespace floodwall

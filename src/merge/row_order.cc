#include "merge/row_order.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "arrow/util/checked_cast.h"
#include "arrow/util/float16.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/key_visitor.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;

constexpr int64_t kArenaBlock = 256 * kKiB;

void AppendBigEndian(uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

/// Negative numbers before others, then two's complement.
template <typename T>
void AppendInteger(T value, std::string* out) {
  out->push_back(value < T{0} ? 1 : 2);
  AppendBigEndian(static_cast<uint64_t>(value), out);
}

void AppendFloat(double value, std::string* out) {
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  if (value == 0) value = 0;
  const auto bits = std::bit_cast<uint64_t>(value);
  out->push_back(1);
  AppendBigEndian((bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63), out);
}

/// Bytes with 0 escaped and an end mark below every byte, so that a shorter value comes first
/// whatever column follows.
void AppendBytes(std::string_view value, std::string* out) {
  out->push_back(1);
  for (const char c : value) {
    out->push_back(c);
    if (c == 0) out->push_back(static_cast<char>(0xff));
  }
  out->push_back(0);
  out->push_back(0);
}

void AppendDecimal(const uint8_t* value, int width, std::string* out) {
  out->push_back(1);
  for (int i = width - 1; i >= 0; --i) {
    uint8_t byte = value[i];
    if (i == width - 1) byte ^= 0x80;
    out->push_back(static_cast<char>(byte));
  }
}

template <typename ArrayType>
void AppendIntegers(const arrow::Array& array, std::vector<std::string>* out) {
  const auto& typed = checked_cast<const ArrayType&>(array);
  for (int64_t i = 0; i < array.length(); ++i) {
    if (array.IsValid(i)) AppendInteger(typed.Value(i), &(*out)[static_cast<size_t>(i)]);
  }
}

template <typename ArrayType>
void AppendFloats(const arrow::Array& array, std::vector<std::string>* out) {
  const auto& typed = checked_cast<const ArrayType&>(array);
  for (int64_t i = 0; i < array.length(); ++i) {
    if (array.IsValid(i)) {
      AppendFloat(static_cast<double>(typed.Value(i)), &(*out)[static_cast<size_t>(i)]);
    }
  }
}

arrow::Status AppendColumn(const arrow::Array& array, std::vector<std::string>* out) {
  const auto at = [&](int64_t i) { return &(*out)[static_cast<size_t>(i)]; };
  switch (array.type_id()) {
    case arrow::Type::NA: break;
    case arrow::Type::BOOL:
      for (int64_t i = 0; i < array.length(); ++i) {
        if (array.IsValid(i)) {
          at(i)->push_back(checked_cast<const arrow::BooleanArray&>(array).Value(i) ? 2 : 1);
        }
      }
      break;
    case arrow::Type::INT8: AppendIntegers<arrow::Int8Array>(array, out); break;
    case arrow::Type::INT16: AppendIntegers<arrow::Int16Array>(array, out); break;
    case arrow::Type::INT32: AppendIntegers<arrow::Int32Array>(array, out); break;
    case arrow::Type::INT64: AppendIntegers<arrow::Int64Array>(array, out); break;
    case arrow::Type::UINT8: AppendIntegers<arrow::UInt8Array>(array, out); break;
    case arrow::Type::UINT16: AppendIntegers<arrow::UInt16Array>(array, out); break;
    case arrow::Type::UINT32: AppendIntegers<arrow::UInt32Array>(array, out); break;
    case arrow::Type::UINT64: AppendIntegers<arrow::UInt64Array>(array, out); break;
    case arrow::Type::DATE32: AppendIntegers<arrow::Date32Array>(array, out); break;
    case arrow::Type::DATE64: AppendIntegers<arrow::Date64Array>(array, out); break;
    case arrow::Type::TIME32: AppendIntegers<arrow::Time32Array>(array, out); break;
    case arrow::Type::TIME64: AppendIntegers<arrow::Time64Array>(array, out); break;
    case arrow::Type::TIMESTAMP: AppendIntegers<arrow::TimestampArray>(array, out); break;
    case arrow::Type::DURATION: AppendIntegers<arrow::DurationArray>(array, out); break;
    case arrow::Type::FLOAT: AppendFloats<arrow::FloatArray>(array, out); break;
    case arrow::Type::DOUBLE: AppendFloats<arrow::DoubleArray>(array, out); break;
    case arrow::Type::HALF_FLOAT: {
      const auto& halves = checked_cast<const arrow::HalfFloatArray&>(array);
      for (int64_t i = 0; i < array.length(); ++i) {
        if (array.IsValid(i)) {
          AppendFloat(arrow::util::Float16::FromBits(halves.Value(i)).ToDouble(), at(i));
        }
      }
      break;
    }
    case arrow::Type::DECIMAL32:
    case arrow::Type::DECIMAL64:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256: {
      const auto& decimals = checked_cast<const arrow::FixedSizeBinaryArray&>(array);
      for (int64_t i = 0; i < array.length(); ++i) {
        if (array.IsValid(i)) AppendDecimal(decimals.GetValue(i), decimals.byte_width(), at(i));
      }
      break;
    }
    default:
      return VisitBytes(array,
                        [&](int64_t i, std::string_view bytes) { AppendBytes(bytes, at(i)); });
  }
  return arrow::Status::OK();
}

bool IsText(const arrow::DataType& type) {
  return arrow::is_base_binary_like(type.id()) || arrow::is_binary_view_like(type.id());
}

/// Types whose values are compared as one.
bool Comparable(const arrow::DataType& a, const arrow::DataType& b) {
  return a.Equals(b) || (arrow::is_integer(a.id()) && arrow::is_integer(b.id())) ||
         (arrow::is_floating(a.id()) && arrow::is_floating(b.id())) || (IsText(a) && IsText(b));
}

}  // namespace

arrow::Result<RowOrder> RowOrder::Make(
    const std::vector<std::string>& columns,
    const std::vector<std::vector<std::shared_ptr<arrow::DataType>>>& types, SourceDuplicates keep,
    int64_t capacity, arrow::MemoryPool* pool) {
  for (size_t c = 0; c < columns.size(); ++c) {
    for (const auto& type : types[c]) {
      const auto storage = KeyStorageType(type);
      if (arrow::is_nested(storage->id())) {
        return MakeError(ErrorKind::kSchemaMismatch, "order_by cannot use column '" + columns[c] +
                                                         "' of type " + type->ToString());
      }
      const auto first = KeyStorageType(types[c].front());
      if (!Comparable(*first, *storage)) {
        return MakeError(ErrorKind::kSchemaMismatch, "order_by column '" + columns[c] + "' is " +
                                                         first->ToString() + " in one file and " +
                                                         storage->ToString() + " in another");
      }
    }
  }
  RowOrder order;
  order.names_ = columns;
  order.last_ = keep == SourceDuplicates::kLast;
  order.pool_ = pool;
  ARROW_ASSIGN_OR_RAISE(
      order.slots_, arrow::AllocateBuffer(capacity * static_cast<int64_t>(sizeof(char*)), pool));
  return order;
}

arrow::Status RowOrder::Load(const std::vector<std::shared_ptr<arrow::Array>>& columns) {
  const auto rows = static_cast<size_t>(columns.front()->length());
  loaded_.resize(rows);
  for (std::string& text : loaded_) text.clear();
  for (const auto& column : columns) {
    ARROW_ASSIGN_OR_RAISE(const auto array, DensifyKeys(column, pool_));
    ARROW_RETURN_NOT_OK(AppendColumn(*array, &loaded_));
    // What has no value (a null type too) is lowest.
    for (int64_t i = 0; i < array->length(); ++i) {
      if (!array->IsValid(i)) loaded_[static_cast<size_t>(i)].push_back(0);
    }
  }
  return arrow::Status::OK();
}

arrow::Status RowOrder::Put(int64_t id, int64_t row) {
  const std::string_view value = Loaded(row);
  const auto length = static_cast<uint32_t>(value.size());
  const auto need = static_cast<int64_t>(sizeof(length) + value.size());
  if (left_ < need) {
    const int64_t block = std::max(kArenaBlock, need);
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer,
                          arrow::AllocateBuffer(block, pool_));
    next_ = reinterpret_cast<char*>(buffer->mutable_data());
    left_ = block;
    arena_.push_back(std::move(buffer));
  }
  std::memcpy(next_, &length, sizeof(length));
  std::memcpy(next_ + sizeof(length), value.data(), value.size());
  reinterpret_cast<char**>(slots_->mutable_data())[id] = next_;
  next_ += need;
  left_ -= need;
  return arrow::Status::OK();
}

bool RowOrder::Beats(int64_t row, int64_t id) const {
  const char* stored = reinterpret_cast<char* const*>(slots_->data())[id];
  uint32_t length = 0;
  std::memcpy(&length, stored, sizeof(length));
  const int order = Loaded(row).compare(std::string_view(stored + sizeof(length), length));
  return last_ ? order >= 0 : order < 0;
}

arrow::Status RowOrder::Replace(int64_t old_id, int64_t id, int64_t row) {
  char** slots = reinterpret_cast<char**>(slots_->mutable_data());
  const std::string_view value = Loaded(row);
  char* stored = slots[old_id];
  uint32_t length = 0;
  std::memcpy(&length, stored, sizeof(length));
  if (length < value.size()) return Put(id, row);
  length = static_cast<uint32_t>(value.size());
  std::memcpy(stored, &length, sizeof(length));
  std::memcpy(stored + sizeof(length), value.data(), value.size());
  slots[id] = stored;
  return arrow::Status::OK();
}

}  // namespace floodwall

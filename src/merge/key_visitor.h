#pragma once

/// Walks an array of key values and hands out the canonical bytes of each valid one.
///
/// Threading: values. Errors: kSchemaMismatch for a type that KeySchema would have refused.
/// Lifetime: the bytes handed to `emit` are valid during the call.

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "arrow/array.h"
#include "arrow/status.h"
#include "arrow/util/checked_cast.h"
#include "arrow/util/decimal.h"
#include "arrow/util/float16.h"
#include "floodwall/error.h"
#include "merge/key_schema.h"

namespace floodwall {

/// Calls emit(row, pointer to `width` canonical bytes) for each valid row.
template <typename Emit>
class FixedVisitor {
 public:
  FixedVisitor(const KeyComponent& component, const Emit& emit)
      : component_(component), emit_(emit) {}

  arrow::Status Visit(const arrow::Array& array) {
    switch (array.type_id()) {
      case arrow::Type::NA: return arrow::Status::OK();
      case arrow::Type::BOOL:
        return VisitBool(arrow::internal::checked_cast<const arrow::BooleanArray&>(array));
      case arrow::Type::INT8: return Integers<arrow::Int8Array>(array);
      case arrow::Type::INT16: return Integers<arrow::Int16Array>(array);
      case arrow::Type::INT32: return Integers<arrow::Int32Array>(array);
      case arrow::Type::INT64: return Integers<arrow::Int64Array>(array);
      case arrow::Type::UINT8: return Integers<arrow::UInt8Array>(array);
      case arrow::Type::UINT16: return Integers<arrow::UInt16Array>(array);
      case arrow::Type::UINT32: return Integers<arrow::UInt32Array>(array);
      case arrow::Type::UINT64: return Integers<arrow::UInt64Array>(array);
      case arrow::Type::HALF_FLOAT: return Halves(array);
      case arrow::Type::FLOAT: return Floats<arrow::FloatArray>(array);
      case arrow::Type::DOUBLE: return Floats<arrow::DoubleArray>(array);
      case arrow::Type::DATE32: return Dates32(array);
      case arrow::Type::DATE64: return Integers<arrow::Date64Array>(array);
      case arrow::Type::TIME32:
        return Scaled<arrow::Time32Array>(
            array, arrow::internal::checked_cast<const arrow::Time32Type&>(*array.type()).unit());
      case arrow::Type::TIME64:
        return Scaled<arrow::Time64Array>(
            array, arrow::internal::checked_cast<const arrow::Time64Type&>(*array.type()).unit());
      case arrow::Type::TIMESTAMP:
        return Instants<arrow::TimestampArray>(
            array,
            arrow::internal::checked_cast<const arrow::TimestampType&>(*array.type()).unit());
      case arrow::Type::DURATION:
        return Instants<arrow::DurationArray>(
            array, arrow::internal::checked_cast<const arrow::DurationType&>(*array.type()).unit());
      case arrow::Type::DECIMAL32:
      case arrow::Type::DECIMAL64:
      case arrow::Type::DECIMAL128:
      case arrow::Type::DECIMAL256: return Decimals(array);
      default:
        return MakeError(ErrorKind::kSchemaMismatch,
                         "key column '" + component_.name +
                             "' has an unexpected type: " + array.type()->ToString());
    }
  }

 private:
  template <typename Value>
  arrow::Status ForEachValid(const arrow::Array& array, const Value& value) {
    const int64_t n = array.length();
    if (array.null_count() == 0) {
      for (int64_t i = 0; i < n; ++i) value(i);
    } else {
      for (int64_t i = 0; i < n; ++i) {
        if (array.IsValid(i)) value(i);
      }
    }
    return arrow::Status::OK();
  }

  template <typename T>
  void Put(int64_t row, T value) {
    emit_(row, &value, sizeof(T));
  }

  arrow::Status VisitBool(const arrow::BooleanArray& array) {
    return ForEachValid(array, [&](int64_t i) { Put<uint8_t>(i, array.Value(i) ? 1 : 0); });
  }

  template <typename ArrayType>
  arrow::Status Integers(const arrow::Array& base) {
    const auto& array = arrow::internal::checked_cast<const ArrayType&>(base);
    using T = typename ArrayType::value_type;
    if (component_.form == KeyForm::kMixedSign) {
      return ForEachValid(array, [&](int64_t i) {
        std::array<char, 9> out{};
        const T raw = array.Value(i);
        const auto value = static_cast<uint64_t>(raw);  // two's complement for signed types
        std::memcpy(out.data(), &value, sizeof(value));
        if constexpr (std::is_unsigned_v<T>) out[8] = (value >> 63) != 0 ? 1 : 0;
        emit_(i, out.data(), out.size());
      });
    }
    switch (component_.width) {
      case 1:
        return ForEachValid(array, [&](int64_t i) { Put(i, static_cast<int8_t>(array.Value(i))); });
      case 2:
        return ForEachValid(array,
                            [&](int64_t i) { Put(i, static_cast<int16_t>(array.Value(i))); });
      case 4:
        return ForEachValid(array,
                            [&](int64_t i) { Put(i, static_cast<int32_t>(array.Value(i))); });
      default:
        return ForEachValid(array,
                            [&](int64_t i) { Put(i, static_cast<int64_t>(array.Value(i))); });
    }
  }

  template <typename Float>
  void PutFloat(int64_t row, Float value) {
    // One NaN and one zero: key equality, not bit equality.
    if (std::isnan(value)) value = std::numeric_limits<Float>::quiet_NaN();
    if (value == 0) value = 0;
    Put(row, value);
  }

  template <typename ArrayType>
  arrow::Status Floats(const arrow::Array& base) {
    const auto& array = arrow::internal::checked_cast<const ArrayType&>(base);
    if (component_.width == 4) {
      return ForEachValid(array,
                          [&](int64_t i) { PutFloat(i, static_cast<float>(array.Value(i))); });
    }
    return ForEachValid(array,
                        [&](int64_t i) { PutFloat(i, static_cast<double>(array.Value(i))); });
  }

  arrow::Status Halves(const arrow::Array& base) {
    const auto& array = arrow::internal::checked_cast<const arrow::HalfFloatArray&>(base);
    return ForEachValid(array, [&](int64_t i) {
      const float value = arrow::util::Float16::FromBits(array.Value(i)).ToFloat();
      if (component_.width == 2) {
        uint16_t bits = array.Value(i);
        if (std::isnan(value)) bits = 0x7e00;
        if (value == 0) bits = 0;
        Put(i, bits);
      } else {
        PutFloat(i, static_cast<double>(value));
      }
    });
  }

  arrow::Status Dates32(const arrow::Array& base) {
    const auto& array = arrow::internal::checked_cast<const arrow::Date32Array&>(base);
    constexpr int64_t kMillisecondsPerDay = 86400000;
    if (component_.width == 4) {
      return ForEachValid(array, [&](int64_t i) { Put(i, array.Value(i)); });
    }
    return ForEachValid(array, [&](int64_t i) {
      Put(i, static_cast<int64_t>(array.Value(i)) * kMillisecondsPerDay);
    });
  }

  static int64_t TicksPerSecond(arrow::TimeUnit::type unit) {
    switch (unit) {
      case arrow::TimeUnit::SECOND: return 1;
      case arrow::TimeUnit::MILLI: return 1000;
      case arrow::TimeUnit::MICRO: return 1000000;
      default: return 1000000000;
    }
  }

  template <typename ArrayType>
  arrow::Status Scaled(const arrow::Array& base, arrow::TimeUnit::type unit) {
    const auto& array = arrow::internal::checked_cast<const ArrayType&>(base);
    const int64_t factor = 1000000000 / TicksPerSecond(unit);
    return ForEachValid(array, [&](int64_t i) {
      // Times of day stay below 2^47 ns; a value outside the day wraps the same on both sides.
      const uint64_t ns = static_cast<uint64_t>(static_cast<int64_t>(array.Value(i))) *
                          static_cast<uint64_t>(factor);
      Put(i, ns);
    });
  }

  template <typename ArrayType>
  arrow::Status Instants(const arrow::Array& base, arrow::TimeUnit::type unit) {
    const auto& array = arrow::internal::checked_cast<const ArrayType&>(base);
    if (component_.form == KeyForm::kInstant) {
      return ForEachValid(array, [&](int64_t i) { Put(i, array.Value(i)); });
    }
    const int64_t ticks = TicksPerSecond(unit);
    return ForEachValid(array, [&](int64_t i) {
      const int64_t value = array.Value(i);
      int64_t seconds = value / ticks;
      int64_t rest = value % ticks;
      if (rest < 0) {
        rest += ticks;
        --seconds;
      }
      const auto nanos = static_cast<int32_t>(rest * (1000000000 / ticks));
      std::array<char, 12> out{};
      std::memcpy(out.data(), &seconds, 8);
      std::memcpy(out.data() + 8, &nanos, 4);
      emit_(i, out.data(), out.size());
    });
  }

  arrow::Status Decimals(const arrow::Array& base) {
    const auto& type = arrow::internal::checked_cast<const arrow::DecimalType&>(*base.type());
    const auto& array = arrow::internal::checked_cast<const arrow::FixedSizeBinaryArray&>(base);
    const auto bytes = static_cast<size_t>(type.byte_width());
    return ForEachValid(base, [&](int64_t i) {
      std::array<char, 36> out{};
      const uint8_t* value = array.GetValue(i);
      // Arrow's decimals are little endian two's complement: widening is sign extension.
      std::memcpy(out.data(), value, bytes);
      if ((value[bytes - 1] & 0x80) != 0) std::memset(out.data() + bytes, 0xff, 32 - bytes);
      if (component_.form == KeyForm::kStrippedDecimal) {
        arrow::Decimal256 wide(reinterpret_cast<const uint8_t*>(out.data()));
        const arrow::Decimal256 reduced = wide.ReduceScaleBy(0, false);
        int32_t scale = type.scale();
        Strip(reduced, &scale, out.data());
        std::memcpy(out.data() + 32, &scale, sizeof(scale));
      }
      emit_(i, out.data(), static_cast<size_t>(component_.width));
    });
  }

  static void Strip(arrow::Decimal256 value, int32_t* scale, char* out) {
    const arrow::Decimal256 ten(10);
    if (value == arrow::Decimal256(0)) {
      *scale = 0;
    } else {
      while (true) {
        auto divided = value.Divide(ten);
        if (!divided.ok() || divided->second != arrow::Decimal256(0)) break;
        value = divided->first;
        --*scale;
      }
    }
    value.ToBytes(reinterpret_cast<uint8_t*>(out));
  }

  const KeyComponent& component_;
  const Emit& emit_;
};

/// Calls emit(row, bytes) for each valid row of a string or binary array.
template <typename Emit>
arrow::Status VisitBytes(const arrow::Array& array, const Emit& emit) {
  auto visit = [&](const auto& typed) {
    for (int64_t i = 0; i < typed.length(); ++i) {
      if (typed.IsValid(i)) emit(i, std::string_view(typed.GetView(i)));
    }
    return arrow::Status::OK();
  };
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return visit(arrow::internal::checked_cast<const arrow::BinaryArray&>(array));
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return visit(arrow::internal::checked_cast<const arrow::LargeBinaryArray&>(array));
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      return visit(arrow::internal::checked_cast<const arrow::BinaryViewArray&>(array));
    case arrow::Type::FIXED_SIZE_BINARY:
      return visit(arrow::internal::checked_cast<const arrow::FixedSizeBinaryArray&>(array));
    case arrow::Type::NA: return arrow::Status::OK();
    default: return arrow::Status::TypeError("not a byte array: ", array.type()->ToString());
  }
}

}  // namespace floodwall

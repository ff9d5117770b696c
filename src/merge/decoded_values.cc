// Pages of encodings in which one value hangs on the others: decoded and encoded by Parquet.

#include <cstring>
#include <type_traits>

#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"
#include "merge/page_values.h"
#include "parquet/encoding.h"

namespace floodwall {
namespace {

/// Exceptions of the decoder and encoder are the page patcher's to catch.
template <typename DType>
class DecodedValues final : public PageValues {
 public:
  using T = typename DType::c_type;

  DecodedValues(parquet::Encoding::type encoding, const parquet::ColumnDescriptor& column,
                std::span<const uint8_t> bytes, int64_t count, GuardedPool* pool)
      : encoding_(encoding),
        column_(column),
        bytes_(bytes),
        count_(count),
        pool_(pool),
        values_(pool) {}

  arrow::Result<std::string_view> At(int64_t index) override {
    ARROW_RETURN_NOT_OK(Decode());
    const T& value = values()[index];
    if constexpr (std::is_same_v<T, parquet::ByteArray>) {
      return std::string_view(reinterpret_cast<const char*>(value.ptr), value.len);
    } else if constexpr (std::is_same_v<T, parquet::FixedLenByteArray>) {
      return std::string_view(reinterpret_cast<const char*>(value.ptr),
                              static_cast<size_t>(column_.type_length()));
    } else {
      return std::string_view(reinterpret_cast<const char*>(&value), sizeof(T));
    }
  }

  arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                       ByteBuffer* out) override {
    ARROW_RETURN_NOT_OK(Decode());
    auto encoder = parquet::MakeTypedEncoder<DType>(encoding_, false, &column_, pool_);
    int64_t at = begin;
    const auto keep = [&](int64_t until) {
      if (until > at) encoder->Put(values() + at, static_cast<int>(until - at));
    };
    for (const ValueEdit& edit : edits) {
      keep(edit.index);
      if (edit.inserts) {
        const T value = Value(edit.value);
        encoder->Put(&value, 1);
      }
      at = edit.index + (edit.erases ? 1 : 0);
    }
    keep(end);
    const auto encoded = encoder->FlushValues();
    return out->Append(encoded->data(), encoded->size());
  }

 private:
  static T Value(std::string_view bytes) {
    if constexpr (std::is_same_v<T, parquet::ByteArray>) {
      return {static_cast<uint32_t>(bytes.size()), reinterpret_cast<const uint8_t*>(bytes.data())};
    } else if constexpr (std::is_same_v<T, parquet::FixedLenByteArray>) {
      return T{reinterpret_cast<const uint8_t*>(bytes.data())};
    } else {
      T value;
      std::memcpy(&value, bytes.data(), sizeof(T));
      return value;
    }
  }

  T* values() { return reinterpret_cast<T*>(values_.data()); }

  arrow::Status Decode() {
    if (decoder_) return arrow::Status::OK();
    decoder_ = parquet::MakeTypedDecoder<DType>(encoding_, &column_, pool_);
    ARROW_RETURN_NOT_OK(values_.Resize(static_cast<int64_t>(sizeof(T)) * count_));
    decoder_->SetData(static_cast<int>(count_), bytes_.data(), static_cast<int>(bytes_.size()));
    // A value at a time would be valid for byte arrays only until the next.
    if (count_ > 0 && Fill() != count_) {
      return MakeError(ErrorKind::kUnsupportedFile, "a page has fewer values than it says");
    }
    return arrow::Status::OK();
  }
  int64_t Fill() { return decoder_->Decode(values(), static_cast<int>(count_)); }

  const parquet::Encoding::type encoding_;
  const parquet::ColumnDescriptor& column_;
  const std::span<const uint8_t> bytes_;
  const int64_t count_;
  GuardedPool* const pool_;
  ByteBuffer values_;
  std::unique_ptr<parquet::TypedDecoder<DType>> decoder_;
};

}  // namespace

std::unique_ptr<PageValues> MakeDecodedValues(int64_t encoding,
                                              const parquet::ColumnDescriptor& column,
                                              std::span<const uint8_t> bytes, int64_t count,
                                              GuardedPool* pool) {
  // The enum's numbers are the format's.
  const auto type = static_cast<parquet::Encoding::type>(encoding);
  switch (column.physical_type()) {
    case parquet::Type::INT32:
      return std::make_unique<DecodedValues<parquet::Int32Type>>(type, column, bytes, count, pool);
    case parquet::Type::INT64:
      return std::make_unique<DecodedValues<parquet::Int64Type>>(type, column, bytes, count, pool);
    case parquet::Type::FLOAT:
      return std::make_unique<DecodedValues<parquet::FloatType>>(type, column, bytes, count, pool);
    case parquet::Type::DOUBLE:
      return std::make_unique<DecodedValues<parquet::DoubleType>>(type, column, bytes, count, pool);
    case parquet::Type::BYTE_ARRAY:
      return std::make_unique<DecodedValues<parquet::ByteArrayType>>(type, column, bytes, count,
                                                                     pool);
    case parquet::Type::FIXED_LEN_BYTE_ARRAY:
      return std::make_unique<DecodedValues<parquet::FLBAType>>(type, column, bytes, count, pool);
    default: return nullptr;
  }
}

}  // namespace floodwall

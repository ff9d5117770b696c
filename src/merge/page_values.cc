#include "merge/page_values.h"

#include <algorithm>
#include <cstring>

#include "dataset/hybrid_codec.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"
#include "merge/new_values.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

arrow::Status Short() {
  return MakeError(ErrorKind::kUnsupportedFile, "a page has fewer values than it says");
}

/// Calls keep(from, to) for stretches that stay and insert(edit) for what comes between.
template <typename Keep, typename Insert>
arrow::Status Splice(std::span<const ValueEdit> edits, int64_t begin, int64_t end, Keep keep,
                     Insert insert) {
  int64_t at = begin;
  for (const ValueEdit& edit : edits) {
    if (edit.index > at) ARROW_RETURN_NOT_OK(keep(at, edit.index));
    if (edit.inserts) ARROW_RETURN_NOT_OK(insert(edit));
    at = edit.index + (edit.erases ? 1 : 0);
  }
  return at < end ? keep(at, end) : arrow::Status::OK();
}

bool OnlyReplaces(std::span<const ValueEdit> edits) {
  return std::all_of(edits.begin(), edits.end(),
                     [](const ValueEdit& edit) { return edit.erases && edit.inserts; });
}

class PlainFixed final : public PageValues {
 public:
  PlainFixed(std::span<uint8_t> bytes, int64_t width) : bytes_(bytes), width_(width) {}

  arrow::Result<std::string_view> At(int64_t index) override {
    return std::string_view(reinterpret_cast<const char*>(bytes_.data()) + index * width_,
                            static_cast<size_t>(width_));
  }
  arrow::Result<bool> ApplyInPlace(std::span<const ValueEdit> edits) override {
    if (!OnlyReplaces(edits)) return false;
    for (const ValueEdit& edit : edits) {
      std::memcpy(bytes_.data() + edit.index * width_, edit.value.data(),
                  static_cast<size_t>(width_));
    }
    return true;
  }
  arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                       ByteBuffer* out) override {
    return Splice(
        edits, begin, end,
        [&](int64_t from, int64_t to) {
          return out->Append(bytes_.data() + from * width_, (to - from) * width_);
        },
        [&](const ValueEdit& edit) { return out->Append(edit.value.data(), width_); });
  }

 private:
  std::span<uint8_t> bytes_;
  int64_t width_;
};

class PlainByteArrays final : public PageValues {
 public:
  explicit PlainByteArrays(std::span<uint8_t> bytes) : bytes_(bytes) {}

  arrow::Result<std::string_view> At(int64_t index) override {
    ARROW_RETURN_NOT_OK(read_.Seek(bytes_, index));
    const int64_t start = read_.offset;
    ARROW_RETURN_NOT_OK(read_.Seek(bytes_, index + 1));
    return std::string_view(reinterpret_cast<const char*>(bytes_.data()) + start + 4,
                            static_cast<size_t>(read_.offset - start - 4));
  }
  arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                       ByteBuffer* out) override {
    return Splice(
        edits, begin, end,
        [&](int64_t from, int64_t to) {
          ARROW_RETURN_NOT_OK(write_.Seek(bytes_, from));
          const int64_t start = write_.offset;
          ARROW_RETURN_NOT_OK(write_.Seek(bytes_, to));
          return out->Append(bytes_.data() + start, write_.offset - start);
        },
        [&](const ValueEdit& edit) {
          ARROW_RETURN_NOT_OK(out->AppendUint32(static_cast<uint32_t>(edit.value.size())));
          return out->Append(edit.value.data(), static_cast<int64_t>(edit.value.size()));
        });
  }

 private:
  struct Position {
    int64_t index = 0;
    int64_t offset = 0;

    arrow::Status Seek(std::span<const uint8_t> bytes, int64_t to) {
      const auto size = static_cast<int64_t>(bytes.size());
      for (; index < to; ++index) {
        uint32_t length = 0;
        if (size - offset < 4) return Short();
        std::memcpy(&length, bytes.data() + offset, sizeof(length));
        if (length > size - offset - 4) return Short();
        offset += 4 + int64_t{length};
      }
      return arrow::Status::OK();
    }
  };
  std::span<uint8_t> bytes_;
  Position read_;
  Position write_;
};

constexpr char kBooleans[2] = {0, 1};

class PlainBooleans final : public PageValues {
 public:
  explicit PlainBooleans(std::span<uint8_t> bytes) : bytes_(bytes) {}

  arrow::Result<std::string_view> At(int64_t index) override {
    return std::string_view(&kBooleans[Bit(index)], 1);
  }
  arrow::Result<bool> ApplyInPlace(std::span<const ValueEdit> edits) override {
    if (!OnlyReplaces(edits)) return false;
    for (const ValueEdit& edit : edits) {
      uint8_t& byte = bytes_[static_cast<size_t>(edit.index / 8)];
      const auto bit = static_cast<uint8_t>(1 << (edit.index % 8));
      byte = static_cast<uint8_t>(edit.value[0] != 0 ? byte | bit : byte & ~bit);
    }
    return true;
  }
  arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                       ByteBuffer* out) override {
    int64_t count = 0;
    uint8_t pending = 0;
    const auto put = [&](unsigned bit) -> arrow::Status {
      pending = static_cast<uint8_t>(pending | bit << (count % 8));
      if (++count % 8 != 0) return arrow::Status::OK();
      const uint8_t full = pending;
      pending = 0;
      return out->AppendByte(full);
    };
    ARROW_RETURN_NOT_OK(Splice(
        edits, begin, end,
        [&](int64_t from, int64_t to) {
          for (; from < to; ++from) ARROW_RETURN_NOT_OK(put(Bit(from)));
          return arrow::Status::OK();
        },
        [&](const ValueEdit& edit) { return put(edit.value[0] != 0 ? 1 : 0); }));
    return count % 8 == 0 ? arrow::Status::OK() : out->AppendByte(pending);
  }

 private:
  unsigned Bit(int64_t index) const {
    return (bytes_[static_cast<size_t>(index / 8)] >> (index % 8)) & 1U;
  }
  std::span<uint8_t> bytes_;
};

/// Small numbers in the hybrid encoding: indices of a dictionary, or booleans.
class HybridValues : public PageValues {
 public:
  HybridValues(std::span<uint8_t> runs, int bit_width, int64_t count, GuardedPool* pool)
      : runs_(runs),
        bit_width_(bit_width),
        count_(count),
        read_(runs, bit_width, count),
        codes_(pool) {}

  arrow::Result<bool> ApplyInPlace(std::span<const ValueEdit> edits) override {
    if (!OnlyReplaces(edits)) return false;
    HybridCursor cursor(runs_, bit_width_, count_);
    for (const ValueEdit& edit : edits) {
      ARROW_RETURN_NOT_OK(cursor.At(edit.index).status());
      // Those put before are put again when the page is encoded anew.
      if (!cursor.Put(CodeOf(edit))) return false;
    }
    return true;
  }

 protected:
  virtual uint32_t CodeOf(const ValueEdit& edit) const = 0;

  arrow::Status AppendRuns(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                           int bit_width, ByteBuffer* out) {
    if (codes_.size() == 0) {
      ARROW_RETURN_NOT_OK(codes_.Resize(4 * count_));
      ARROW_RETURN_NOT_OK(DecodeHybrid(runs_, bit_width_, count_, codes()));
    }
    ByteBuffer spliced(codes_.pool());
    ARROW_RETURN_NOT_OK(spliced.Reserve(4 * (end - begin + std::ssize(edits))));
    ARROW_RETURN_NOT_OK(Splice(
        edits, begin, end,
        [&](int64_t from, int64_t to) { return spliced.Append(codes() + from, 4 * (to - from)); },
        [&](const ValueEdit& edit) { return spliced.AppendUint32(CodeOf(edit)); }));
    return EncodeHybrid(std::span<const uint32_t>(reinterpret_cast<uint32_t*>(spliced.data()),
                                                  static_cast<size_t>(spliced.size() / 4)),
                        bit_width, out);
  }

  std::span<uint8_t> runs_;
  int bit_width_;
  int64_t count_;
  HybridCursor read_;

 private:
  uint32_t* codes() { return reinterpret_cast<uint32_t*>(codes_.data()); }
  ByteBuffer codes_;
};

class DictionaryIndices final : public HybridValues {
 public:
  DictionaryIndices(std::span<uint8_t> runs, int bit_width, int64_t count,
                    const ChunkDictionary* dictionary, GuardedPool* pool)
      : HybridValues(runs, bit_width, count, pool), dictionary_(dictionary) {}

  arrow::Result<std::string_view> At(int64_t index) override {
    ARROW_ASSIGN_OR_RAISE(const uint32_t code, read_.At(index));
    return dictionary_->At(code);
  }
  arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                       ByteBuffer* out) override {
    // Never narrower than the page was: indices that have no entry stay for readers to refuse.
    const int bits = std::max(bit_width_, BitsFor(std::max(dictionary_->size(), 1U) - 1));
    ARROW_RETURN_NOT_OK(out->AppendByte(static_cast<uint8_t>(bits)));
    return AppendRuns(edits, begin, end, bits, out);
  }

 protected:
  uint32_t CodeOf(const ValueEdit& edit) const override { return edit.code; }

 private:
  const ChunkDictionary* dictionary_;
};

class RunBooleans final : public HybridValues {
 public:
  RunBooleans(std::span<uint8_t> runs, int64_t count, GuardedPool* pool)
      : HybridValues(runs, 1, count, pool) {}

  arrow::Result<std::string_view> At(int64_t index) override {
    ARROW_ASSIGN_OR_RAISE(const uint32_t bit, read_.At(index));
    return std::string_view(&kBooleans[bit], 1);
  }
  arrow::Status Append(std::span<const ValueEdit> edits, int64_t begin, int64_t end,
                       ByteBuffer* out) override {
    const int64_t start = out->size();
    ARROW_RETURN_NOT_OK(out->AppendUint32(0));
    ARROW_RETURN_NOT_OK(AppendRuns(edits, begin, end, 1, out));
    const auto length = static_cast<uint32_t>(out->size() - start - 4);
    std::memcpy(out->data() + start, &length, sizeof(length));
    return arrow::Status::OK();
  }

 protected:
  uint32_t CodeOf(const ValueEdit& edit) const override { return edit.value[0] != 0 ? 1 : 0; }
};

}  // namespace

bool PageValues::Supports(int64_t encoding, const parquet::ColumnDescriptor& column) {
  const parquet::Type::type type = column.physical_type();
  const bool whole = type == parquet::Type::INT32 || type == parquet::Type::INT64;
  const bool bytes = type == parquet::Type::BYTE_ARRAY;
  const bool fixed = type == parquet::Type::FIXED_LEN_BYTE_ARRAY;
  switch (encoding) {
    case field::kEncodingPlain: return true;
    case field::kEncodingPlainDictionary:
    case field::kEncodingRleDictionary: return type != parquet::Type::BOOLEAN;
    case field::kEncodingRle: return type == parquet::Type::BOOLEAN;
    case field::kEncodingDeltaBinaryPacked: return whole;
    case field::kEncodingDeltaLengthByteArray: return bytes;
    case field::kEncodingDeltaByteArray: return bytes || fixed;
    case field::kEncodingByteStreamSplit:
      return whole || fixed || type == parquet::Type::FLOAT || type == parquet::Type::DOUBLE;
    default: return false;
  }
}

arrow::Result<std::unique_ptr<PageValues>> PageValues::Make(int64_t encoding,
                                                            const parquet::ColumnDescriptor& column,
                                                            std::span<uint8_t> bytes, int64_t count,
                                                            const ChunkDictionary* dictionary,
                                                            GuardedPool* pool) {
  const auto size = static_cast<int64_t>(bytes.size());
  const int64_t width = FixedWidth(column);
  std::unique_ptr<PageValues> out;
  switch (encoding) {
    case field::kEncodingPlain:
      if (column.physical_type() == parquet::Type::BOOLEAN) {
        if ((count + 7) / 8 > size) return Short();
        return std::make_unique<PlainBooleans>(bytes);
      }
      if (width == 0) return std::make_unique<PlainByteArrays>(bytes);
      if (count > size / width) return Short();
      return std::make_unique<PlainFixed>(bytes.first(static_cast<size_t>(count * width)), width);
    case field::kEncodingPlainDictionary:
    case field::kEncodingRleDictionary: {
      // A page of nulls only may have nothing at all.
      const int bit_width = bytes.empty() ? 0 : bytes[0];
      if ((bytes.empty() && count > 0) || bit_width > kMaxHybridBits) return Short();
      return std::make_unique<DictionaryIndices>(bytes.subspan(bytes.empty() ? 0 : 1), bit_width,
                                                 count, dictionary, pool);
    }
    case field::kEncodingRle: {
      uint32_t length = 0;
      if (size < 4) return Short();
      std::memcpy(&length, bytes.data(), sizeof(length));
      if (length > size - 4) return Short();
      return std::make_unique<RunBooleans>(bytes.subspan(4, length), count, pool);
    }
    default: return MakeDecodedValues(encoding, column, bytes, count, pool);
  }
}

arrow::Status AppendAsPlain(std::span<const uint8_t> bytes, int64_t count,
                            const parquet::ColumnDescriptor& column,
                            const ChunkDictionary& dictionary, std::span<const ValueEdit> edits,
                            int64_t begin, int64_t end, ByteBuffer* out) {
  const bool lengths = FixedWidth(column) == 0;
  if (bytes.empty() && count > 0) return Short();
  const int bit_width = bytes.empty() ? 0 : bytes[0];
  HybridCursor cursor({const_cast<uint8_t*>(bytes.data()) + (bytes.empty() ? 0 : 1),
                       bytes.size() - (bytes.empty() ? 0 : 1)},
                      bit_width, count);
  const auto put = [&](std::string_view value) -> arrow::Status {
    if (lengths) ARROW_RETURN_NOT_OK(out->AppendUint32(static_cast<uint32_t>(value.size())));
    return out->Append(value.data(), static_cast<int64_t>(value.size()));
  };
  return Splice(
      edits, begin, end,
      [&](int64_t from, int64_t to) {
        for (; from < to; ++from) {
          ARROW_ASSIGN_OR_RAISE(const uint32_t code, cursor.At(from));
          ARROW_ASSIGN_OR_RAISE(const std::string_view value, dictionary.At(code));
          ARROW_RETURN_NOT_OK(put(value));
        }
        return arrow::Status::OK();
      },
      [&](const ValueEdit& edit) { return put(edit.value); });
}

}  // namespace floodwall

#include "dataset/hybrid_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr int64_t kMinRepeats = 8;
/// Groups of eight in one packed run, as most writers: the header stays one byte.
constexpr int64_t kMaxGroups = 63;

arrow::Status Bad(const char* why) {
  return MakeError(ErrorKind::kUnsupportedFile, std::string("malformed runs in a page: ") + why);
}

uint32_t MaskOf(int bit_width) {
  return bit_width >= 32 ? UINT32_MAX : (uint32_t{1} << bit_width) - 1;
}

/// Value `i` of packed values; `bytes` are readable behind `packed`.
uint32_t ExtractPacked(const uint8_t* packed, int64_t bytes, int bit_width, int64_t i) {
  const int64_t bit = i * bit_width;
  const int64_t first = bit >> 3;
  uint64_t word = 0;
  std::memcpy(&word, packed + first, static_cast<size_t>(std::min<int64_t>(8, bytes - first)));
  return static_cast<uint32_t>(word >> (bit & 7)) & MaskOf(bit_width);
}

template <typename T>
void UnpackRun(const uint8_t* packed, int64_t bytes, int bit_width, int64_t count, T* out) {
  const uint32_t mask = MaskOf(bit_width);
  // Whole words can be read while eight bytes remain behind the value.
  const int64_t safe = bytes < 8 ? 0 : std::min(count, ((bytes - 8) * 8) / bit_width);
  int64_t i = 0;
  for (int64_t bit = 0; i < safe; ++i, bit += bit_width) {
    uint64_t word;
    std::memcpy(&word, packed + (bit >> 3), sizeof(word));
    out[i] = static_cast<T>(static_cast<uint32_t>(word >> (bit & 7)) & mask);
  }
  for (; i < count; ++i) out[i] = static_cast<T>(ExtractPacked(packed, bytes, bit_width, i));
}

template <typename T>
arrow::Status Decode(std::span<const uint8_t> bytes, int bit_width, int64_t count, T* out) {
  // The cursor writes only when asked to.
  HybridCursor cursor({const_cast<uint8_t*>(bytes.data()), bytes.size()}, bit_width, count);
  for (int64_t i = 0; i < count;) {
    ARROW_ASSIGN_OR_RAISE(const int64_t n, cursor.RunLeft(i));
    if (cursor.repeated()) {
      std::fill_n(out + i, n, static_cast<T>(cursor.repeated_value()));
    } else {
      UnpackRun(cursor.packed(), cursor.packed_bytes(), bit_width, n, out + i);
    }
    i += n;
  }
  return arrow::Status::OK();
}

arrow::Status AppendVarint(uint64_t value, ByteBuffer* out) {
  while (value >= 0x80) {
    ARROW_RETURN_NOT_OK(out->AppendByte(static_cast<uint8_t>(value | 0x80)));
    value >>= 7;
  }
  return out->AppendByte(static_cast<uint8_t>(value));
}

/// Packs `count` values, padded with zeros to groups of eight.
template <typename T>
arrow::Status AppendPacked(const T* values, int64_t count, int bit_width, ByteBuffer* out) {
  while (count > 0) {
    const int64_t groups = std::min((count + 7) / 8, kMaxGroups);
    const int64_t n = std::min(count, groups * 8);
    ARROW_RETURN_NOT_OK(AppendVarint(static_cast<uint64_t>(groups) << 1 | 1, out));
    const int64_t start = out->size();
    ARROW_RETURN_NOT_OK(out->Resize(start + groups * bit_width));
    uint8_t* to = out->data() + start;
    uint64_t pending = 0;
    int bits = 0;
    for (int64_t i = 0; i < groups * 8; ++i) {
      pending |= static_cast<uint64_t>(i < n ? values[i] : 0) << bits;
      bits += bit_width;
      while (bits >= 8) {
        *to++ = static_cast<uint8_t>(pending);
        pending >>= 8;
        bits -= 8;
      }
    }
    values += n;
    count -= n;
  }
  return arrow::Status::OK();
}

template <typename T>
arrow::Status Encode(std::span<const T> values, int bit_width, ByteBuffer* out) {
  const auto count = static_cast<int64_t>(values.size());
  int64_t packed_from = 0;  // values not written yet start here
  for (int64_t i = 0; i < count;) {
    int64_t end = i + 1;
    while (end < count && values[static_cast<size_t>(end)] == values[static_cast<size_t>(i)]) ++end;
    // A packed run is whole groups: the repeats fill up the last one first.
    const int64_t fill = (8 - (i - packed_from) % 8) % 8;
    const int64_t from = std::min(end, i + fill);
    if (end - from >= kMinRepeats) {
      ARROW_RETURN_NOT_OK(
          AppendPacked(values.data() + packed_from, from - packed_from, bit_width, out));
      ARROW_RETURN_NOT_OK(AppendVarint(static_cast<uint64_t>(end - from) << 1, out));
      const auto value = static_cast<uint32_t>(values[static_cast<size_t>(i)]);
      ARROW_RETURN_NOT_OK(out->Append(&value, (bit_width + 7) / 8));
      packed_from = end;
    }
    i = end;
  }
  return AppendPacked(values.data() + packed_from, count - packed_from, bit_width, out);
}

}  // namespace

int BitsFor(uint64_t max) { return static_cast<int>(std::bit_width(max)); }

int64_t MaxHybridBytes(int64_t count, int bit_width) {
  // The worst mix: one group of eight packed, then eight repeated, each with its header.
  const int64_t groups = count / 8 + 2;
  return groups * (bit_width + 1) + groups * 6 + 16;
}

HybridCursor::HybridCursor(std::span<uint8_t> bytes, int bit_width, int64_t count)
    : bytes_(bytes), bit_width_(bit_width), count_(count) {}

arrow::Status HybridCursor::NextRun() {
  if (bit_width_ == 0 && position_ >= bytes_.size()) {
    // All values are 0: some writers leave the runs out.
    repeated_ = true;
    value_ = 0;
    run_start_ = run_end_;
    run_end_ = count_;
    return arrow::Status::OK();
  }
  uint64_t header = 0;
  for (int shift = 0;; shift += 7) {
    if (position_ >= bytes_.size()) return Bad("they end early");
    if (shift > 28) return Bad("a run is too long");
    const uint8_t byte = bytes_[position_++];
    header |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  run_start_ = run_end_;
  const auto left = static_cast<int64_t>(bytes_.size() - position_);
  if ((header & 1) != 0) {
    int64_t groups = static_cast<int64_t>(header >> 1);
    // Writers may cut the padding of the last group off.
    int64_t length = groups * bit_width_;
    int64_t values = groups * 8;
    if (length > left) {
      values = std::min(values, left * 8 / std::max(bit_width_, 1));
      length = left;
      if (values < count_ - run_start_) return Bad("they end early");
    }
    repeated_ = bit_width_ == 0;
    value_ = 0;
    packed_ = bytes_.data() + position_;
    packed_bytes_ = length;
    position_ += static_cast<size_t>(length);
    run_end_ = std::min(count_, run_start_ + values);
  } else {
    const int64_t width = (bit_width_ + 7) / 8;
    if (width > left) return Bad("they end early");
    repeated_ = true;
    value_ = 0;
    if (width > 0) std::memcpy(&value_, bytes_.data() + position_, static_cast<size_t>(width));
    if ((value_ & ~MaskOf(bit_width_)) != 0) return Bad("a value passes its bit width");
    position_ += static_cast<size_t>(width);
    run_end_ = std::min(count_, run_start_ + static_cast<int64_t>(header >> 1));
  }
  return arrow::Status::OK();
}

arrow::Status HybridCursor::Seek(int64_t index) {
  if (index < run_start_ || index >= count_) return Bad("a value is missing");
  while (index >= run_end_) ARROW_RETURN_NOT_OK(NextRun());
  at_ = index;
  return arrow::Status::OK();
}

arrow::Result<uint32_t> HybridCursor::At(int64_t index) {
  ARROW_RETURN_NOT_OK(Seek(index));
  if (repeated_) return value_;
  return ExtractPacked(packed_, packed_bytes_, bit_width_, index - run_start_);
}

arrow::Result<int64_t> HybridCursor::RunLeft(int64_t index) {
  ARROW_RETURN_NOT_OK(Seek(index));
  return run_end_ - index;
}

bool HybridCursor::Put(uint32_t value) {
  if (repeated_ || (value & ~MaskOf(bit_width_)) != 0) return false;
  const int64_t bit = (at_ - run_start_) * bit_width_;
  uint8_t* to = packed_ + (bit >> 3);
  const auto shift = static_cast<int>(bit & 7);
  const uint64_t mask = static_cast<uint64_t>(MaskOf(bit_width_)) << shift;
  const uint64_t bits = static_cast<uint64_t>(value) << shift;
  for (int i = 0; i * 8 < shift + bit_width_; ++i) {
    const auto keep = static_cast<uint8_t>(~(mask >> (8 * i)));
    to[i] = static_cast<uint8_t>((to[i] & keep) | static_cast<uint8_t>(bits >> (8 * i)));
  }
  return true;
}

arrow::Status DecodeHybrid(std::span<const uint8_t> bytes, int bit_width, int64_t count,
                           uint32_t* out) {
  return Decode(bytes, bit_width, count, out);
}
arrow::Status DecodeHybridBytes(std::span<const uint8_t> bytes, int bit_width, int64_t count,
                                uint8_t* out) {
  return Decode(bytes, bit_width, count, out);
}

arrow::Status EncodeHybrid(std::span<const uint32_t> values, int bit_width, ByteBuffer* out) {
  return Encode(values, bit_width, out);
}
arrow::Status EncodeHybrid(std::span<const uint8_t> values, int bit_width, ByteBuffer* out) {
  return Encode(values, bit_width, out);
}

}  // namespace floodwall

#pragma once

/// Parquet's RLE / bit-packed hybrid: definition levels, dictionary indices and booleans of
/// data pages, read run by run so that a few values can be seen or changed without unpacking
/// the rest. The page patcher is the caller.
///
/// A sequence is a list of runs. A run header is a varint: even, header / 2 repetitions of one
/// value stored in whole bytes; odd, header / 2 groups of eight values packed at the bit width,
/// least significant bit first (parquet-format, Encodings.md).
///
/// Threading: values. Errors: kUnsupportedFile for runs that end early or are malformed; no
/// byte outside the given span is touched. Units: values, bits. Lifetime: borrows the bytes.

#include <cstdint>
#include <span>

#include "arrow/result.h"
#include "dataset/byte_buffer.h"

namespace floodwall {

constexpr int kMaxHybridBits = 32;

/// Bits that hold every value up to `max`.
int BitsFor(uint64_t max);

/// Walks forward over a sequence of `count` values.
class HybridCursor {
 public:
  HybridCursor() = default;
  HybridCursor(std::span<uint8_t> bytes, int bit_width, int64_t count);

  /// The value at `index`; indices never descend, and lie below the count.
  arrow::Result<uint32_t> At(int64_t index);
  /// Overwrites the value At() was last asked for. False when it lies in a repeated run or does
  /// not fit the bit width: the sequence must be encoded anew then.
  bool Put(uint32_t value);
  /// Goes to `index` and gives how many values from there lie in the same run.
  arrow::Result<int64_t> RunLeft(int64_t index);
  /// Whether RunLeft() last met a repeated run.
  bool repeated() const { return repeated_; }
  uint32_t repeated_value() const { return value_; }
  /// The values of a run that is not repeated, from its start.
  const uint8_t* packed() const { return packed_; }
  int64_t packed_bytes() const { return packed_bytes_; }

 private:
  arrow::Status Seek(int64_t index);
  arrow::Status NextRun();

  std::span<uint8_t> bytes_;
  int bit_width_ = 0;
  int64_t count_ = 0;
  size_t position_ = 0;  ///< of the next run header
  int64_t run_start_ = 0;
  int64_t run_end_ = 0;
  int64_t at_ = 0;
  bool repeated_ = false;
  uint32_t value_ = 0;
  uint8_t* packed_ = nullptr;
  int64_t packed_bytes_ = 0;
};

/// Decodes `count` values.
arrow::Status DecodeHybrid(std::span<const uint8_t> bytes, int bit_width, int64_t count,
                           uint32_t* out);
/// As DecodeHybrid, for widths up to 8.
arrow::Status DecodeHybridBytes(std::span<const uint8_t> bytes, int bit_width, int64_t count,
                                uint8_t* out);

/// Appends the values: runs of eight and more are repeated, the rest is packed.
arrow::Status EncodeHybrid(std::span<const uint32_t> values, int bit_width, ByteBuffer* out);
arrow::Status EncodeHybrid(std::span<const uint8_t> values, int bit_width, ByteBuffer* out);
/// Bytes that EncodeHybrid never passes.
int64_t MaxHybridBytes(int64_t count, int bit_width);

}  // namespace floodwall

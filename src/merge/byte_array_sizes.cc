#include "merge/byte_array_sizes.h"

#include <algorithm>
#include <cstring>

#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"
#include "merge/new_values.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

arrow::Status Bad() {
  return MakeError(ErrorKind::kUnsupportedFile, "the lengths of a page's values cannot be read");
}

/// The numbers of a section in DELTA_BINARY_PACKED one after another.
class PackedNumbers {
 public:
  explicit PackedNumbers(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  arrow::Status Open() {
    uint64_t block = 0;
    uint64_t miniblocks = 0;
    uint64_t count = 0;
    if (!Varint(&block) || !Varint(&miniblocks) || !Varint(&count) || !Zigzag(&value_)) {
      return Bad();
    }
    if (miniblocks == 0 || miniblocks > 1024 || block % miniblocks != 0 ||
        block / miniblocks % 8 != 0 || block > 1 << 24 || count > INT32_MAX) {
      return Bad();
    }
    per_miniblock_ = static_cast<int64_t>(block / miniblocks);
    miniblocks_ = static_cast<size_t>(miniblocks);
    left_ = static_cast<int64_t>(count);
    first_ = true;
    return arrow::Status::OK();
  }
  int64_t left() const { return left_; }

  arrow::Result<int64_t> Next() {
    if (left_-- <= 0) return Bad();
    if (first_) {
      first_ = false;
      return value_;
    }
    if (in_miniblock_ == per_miniblock_ || widths_.empty()) ARROW_RETURN_NOT_OK(NextMiniblock());
    uint64_t delta = 0;
    const int width = widths_[miniblock_];
    const int64_t bit = in_miniblock_++ * width;
    for (int done = 0; done < width;) {
      const int64_t at = bit + done;
      const auto byte = static_cast<uint64_t>(bytes_[start_ + static_cast<size_t>(at / 8)]);
      const int take = std::min(width - done, 8 - static_cast<int>(at % 8));
      delta |= (byte >> (at % 8) & ((1U << take) - 1)) << done;
      done += take;
    }
    value_ = static_cast<int64_t>(static_cast<uint64_t>(value_) +
                                  static_cast<uint64_t>(min_delta_) + delta);
    return value_;
  }

  /// Behind the last number, once all are read.
  arrow::Result<std::span<const uint8_t>> Rest() {
    // The block's other miniblocks are empty; the last one is written out whole.
    return bytes_.subspan(std::min(bytes_.size(), at_));
  }

 private:
  bool Varint(uint64_t* out) {
    *out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ >= bytes_.size()) return false;
      const uint8_t byte = bytes_[at_++];
      *out |= uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }
  bool Zigzag(int64_t* out) {
    uint64_t raw = 0;
    if (!Varint(&raw)) return false;
    *out = static_cast<int64_t>(raw >> 1 ^ (0 - (raw & 1)));
    return true;
  }
  arrow::Status NextMiniblock() {
    if (widths_.empty() || ++miniblock_ == miniblocks_) {
      if (!Zigzag(&min_delta_) || miniblocks_ > bytes_.size() - at_) return Bad();
      widths_ = bytes_.subspan(at_, miniblocks_);
      at_ += miniblocks_;
      miniblock_ = 0;
    }
    const auto size = static_cast<size_t>(per_miniblock_ / 8 * widths_[miniblock_]);
    if (widths_[miniblock_] > 64 || size > bytes_.size() - at_) return Bad();
    start_ = at_;
    at_ += size;
    in_miniblock_ = 0;
    return arrow::Status::OK();
  }

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  size_t miniblocks_ = 0;
  int64_t per_miniblock_ = 0;
  int64_t left_ = 0;
  int64_t value_ = 0;
  int64_t min_delta_ = 0;
  bool first_ = true;
  std::span<const uint8_t> widths_;
  size_t miniblock_ = 0;
  size_t start_ = 0;
  int64_t in_miniblock_ = 0;
};

arrow::Result<ByteArraySizes> MeasurePlain(std::span<const uint8_t> values) {
  ByteArraySizes out;
  out.page_bytes = std::ssize(values);
  for (size_t at = 0; at < values.size();) {
    uint32_t length = 0;
    if (values.size() - at < 4) return Bad();
    std::memcpy(&length, values.data() + at, sizeof(length));
    at += 4;
    if (length > values.size() - at) return Bad();
    at += length;
    out.longest = std::max<int64_t>(out.longest, length);
  }
  return out;
}

}  // namespace

arrow::Result<ByteArraySizes> MeasurePage(std::span<const uint8_t> values, int64_t encoding) {
  ByteArraySizes out;
  out.longest = out.page_bytes = std::ssize(values);
  if (encoding == field::kEncodingPlain) return MeasurePlain(values);
  if (encoding != field::kEncodingDeltaByteArray || values.empty()) return out;
  // Lengths of prefixes, lengths of suffixes, suffixes.
  PackedNumbers prefixes(values);
  ARROW_RETURN_NOT_OK(prefixes.Open());
  PackedNumbers skipped = prefixes;
  while (skipped.left() > 0) ARROW_RETURN_NOT_OK(skipped.Next().status());
  ARROW_ASSIGN_OR_RAISE(const auto rest, skipped.Rest());
  PackedNumbers suffixes(rest);
  ARROW_RETURN_NOT_OK(suffixes.Open());
  if (suffixes.left() != prefixes.left()) return Bad();
  out = {};
  while (prefixes.left() > 0) {
    ARROW_ASSIGN_OR_RAISE(const int64_t prefix, prefixes.Next());
    ARROW_ASSIGN_OR_RAISE(const int64_t suffix, suffixes.Next());
    if (prefix < 0 || suffix < 0 || prefix > INT32_MAX || suffix > INT32_MAX) return Bad();
    out.longest = std::max(out.longest, prefix + suffix);
    out.page_bytes += prefix + suffix;
  }
  return out;
}

namespace {

/// Looks into pages of one chunk.
class Measure {
 public:
  Measure(const BaseChunk& chunk, const ChunkPages& pages, int64_t small, GuardedPool* pool)
      : chunk_(chunk), pages_(pages), small_(small), loader_(pool) {}

  arrow::Status Look(const PageEntry& page, bool dictionary) {
    ByteArraySizes sizes{page.uncompressed_bytes, page.uncompressed_bytes};
    const bool grows = page.encoding == field::kEncodingDeltaByteArray;
    const bool flat =
        chunk_.descr->max_repetition_level() == 0 && chunk_.descr->max_definition_level() <= 1;
    if (!dictionary && page.dictionary_encoded()) {
      sizes = {};
    } else if ((sizes.longest > small_ || grows) && pages_.plain_layout && (flat || dictionary)) {
      if (!open_) ARROW_RETURN_NOT_OK(loader_.Open(chunk_));
      open_ = true;
      const auto loaded = loader_.Load(page);
      // No room to look: nobody can then read the page either, and is told so by its size.
      if (loaded.status().IsOutOfMemory() && !grows) {
        Add(sizes, dictionary);
        return arrow::Status::OK();
      }
      ARROW_RETURN_NOT_OK(loaded.status());
      ARROW_ASSIGN_OR_RAISE(
          sizes, MeasurePage(loaded->values, dictionary ? field::kEncodingPlain : page.encoding));
    }
    Add(sizes, dictionary);
    return arrow::Status::OK();
  }
  void Add(const ByteArraySizes& sizes, bool dictionary) {
    out_.longest = std::max(out_.longest, sizes.longest);
    if (!dictionary) out_.page_bytes = std::max(out_.page_bytes, sizes.page_bytes);
  }
  const ByteArraySizes& sizes() const { return out_; }

 private:
  const BaseChunk& chunk_;
  const ChunkPages& pages_;
  const int64_t small_;
  PageLoader loader_;
  bool open_ = false;
  ByteArraySizes out_;
};

}  // namespace

arrow::Result<ByteArraySizes> MeasureByteArrays(const BaseChunk& chunk, const ChunkPages& pages,
                                                int64_t small, GuardedPool* pool) {
  if (const int64_t width = FixedWidth(*chunk.descr); width > 0) {
    return ByteArraySizes{width, pages.max_values * width};
  }
  Measure measure(chunk, pages, small, pool);
  if (pages.dictionary) ARROW_RETURN_NOT_OK(measure.Look(*pages.dictionary, true));
  if (pages.max_direct_bytes <= small && !pages.Uses(field::kEncodingDeltaByteArray)) {
    measure.Add({pages.max_direct_bytes, pages.max_direct_bytes}, false);
    return measure.sizes();
  }
  ARROW_RETURN_NOT_OK(
      SumUpPages(chunk, [&](const PageEntry& page) { return measure.Look(page, false); }).status());
  return measure.sizes();
}

arrow::Result<int64_t> LongestEntry(const BaseChunk& chunk, const ChunkPages& pages, int64_t small,
                                    GuardedPool* pool) {
  Measure measure(chunk, pages, small, pool);
  if (pages.dictionary) ARROW_RETURN_NOT_OK(measure.Look(*pages.dictionary, true));
  return measure.sizes().longest;
}

arrow::Result<int64_t> LongestOfPrefixes(const BaseChunk& chunk, const ChunkPages& pages,
                                         GuardedPool* pool) {
  if (!pages.Uses(field::kEncodingDeltaByteArray)) return 0;
  Measure measure(chunk, pages, INT64_MAX, pool);
  ARROW_RETURN_NOT_OK(SumUpPages(chunk, [&](const PageEntry& page) {
                        return page.encoding == field::kEncodingDeltaByteArray
                                   ? measure.Look(page, false)
                                   : arrow::Status::OK();
                      }).status());
  return measure.sizes().longest;
}

}  // namespace floodwall

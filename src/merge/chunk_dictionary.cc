#include "merge/chunk_dictionary.h"

#include <algorithm>
#include <cstring>
#include <random>

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/new_values.h"

namespace floodwall {
namespace {

constexpr size_t kFirstSlots = 256;

/// Differs from process to process, so that nobody can prepare values that collide. Codes do
/// not depend on it.
uint64_t Seed() {
  static const uint64_t seed = [] {
    std::random_device random;
    return uint64_t{random()} << 32 | random();
  }();
  return seed;
}

uint64_t Hash(std::string_view value) {
  return XXH3_64bits_withSeed(value.data(), value.size(), Seed());
}

/// A cheap number of 16 bits that equal values share. Anybody can make values that share it too:
/// they cost a hash each, no more.
uint32_t Fingerprint(const char* bytes, size_t size) {
  uint64_t first = 0;
  uint64_t last = 0;
  if (size >= 8) {
    std::memcpy(&first, bytes, 8);
    std::memcpy(&last, bytes + size - 8, 8);
  } else if (size >= 4) {
    std::memcpy(&first, bytes, 4);
    std::memcpy(&last, bytes + size - 4, 4);
  } else if (size > 0) {
    first = static_cast<uint8_t>(bytes[0]);
    last = static_cast<uint8_t>(bytes[size / 2]) | static_cast<uint8_t>(bytes[size - 1]) << 8;
  }
  const uint64_t mixed = (first * 0x9e3779b97f4a7c15ULL) ^ (last + size) * 0xd6e8feb86659fd93ULL;
  return static_cast<uint32_t>((mixed ^ mixed >> 32) * 0x9fb21c651e98df25ULL >> 48);
}

arrow::Status Bad(const ParquetSource& file, const char* why) {
  return MakeError(ErrorKind::kUnsupportedFile, std::string("a dictionary page cannot be read (") +
                                                    why + "): '" + file.path() + "'");
}

}  // namespace

int64_t ChunkDictionary::Limit(int64_t bytes) { return std::max<int64_t>(kMiB, bytes * 5 / 4); }

arrow::Status ChunkDictionary::Load(const BaseChunk& chunk, const PageEntry& entry) {
  if (entry.encoding != parquet_field::kEncodingPlain &&
      entry.encoding != parquet_field::kEncodingPlainDictionary) {
    return Bad(*chunk.file, "encoding");
  }
  ARROW_RETURN_NOT_OK(loader_.Open(chunk));
  ARROW_ASSIGN_OR_RAISE(page_, loader_.Load(entry));
  width_ = FixedWidth(*chunk.descr);
  count_ = static_cast<uint32_t>(entry.num_values);
  const auto size = static_cast<int64_t>(page_.values.size());
  limit_ = Limit(size);
  if (width_ > 0) {
    if (width_ * int64_t{count_} > size) return Bad(*chunk.file, "it ends early");
    // What follows the last entry would lie between it and the new ones.
    page_.values = page_.values.first(static_cast<size_t>(width_ * int64_t{count_}));
    max_length_ = width_;
  } else {
    // A length each at least: checked before memory is taken for a count that lies.
    if (4 * int64_t{count_} > size) return Bad(*chunk.file, "it ends early");
    ARROW_RETURN_NOT_OK(offsets_.Resize(4 * (int64_t{count_} + 1)));
    auto* offsets = reinterpret_cast<uint32_t*>(offsets_.data());
    int64_t at = 0;
    for (uint32_t i = 0; i < count_; ++i) {
      uint32_t length = 0;
      if (size - at < 4) return Bad(*chunk.file, "it ends early");
      std::memcpy(&length, page_.values.data() + at, sizeof(length));
      at += 4;
      if (length > size - at) return Bad(*chunk.file, "it ends early");
      offsets[i] = static_cast<uint32_t>(at);
      at += length;
      max_length_ = std::max<int64_t>(max_length_, length);
    }
    offsets[count_] = static_cast<uint32_t>(at + 4);
    page_.values = page_.values.first(static_cast<size_t>(at));
  }
  loaded_ = true;
  return arrow::Status::OK();
}

arrow::Result<std::string_view> ChunkDictionary::At(uint32_t code) const {
  if (code >= count_) {
    return MakeError(ErrorKind::kUnsupportedFile, "a dictionary index has no entry");
  }
  return EntryAt(code);
}

std::string_view ChunkDictionary::ValueOf(const Wanted& wanted) const {
  return {reinterpret_cast<const char*>(values_.data()) + wanted.offset, wanted.length};
}

size_t ChunkDictionary::SlotOf(uint64_t hash, std::string_view value) const {
  const auto* slots = reinterpret_cast<const uint32_t*>(table_.data());
  for (size_t slot = hash & (slots_ - 1);; slot = (slot + 1) & (slots_ - 1)) {
    if (slots[slot] == 0) return slot;
    const Wanted& wanted = wanted_[slots[slot] - 1];
    if (wanted.hash == hash && ValueOf(wanted) == value) return slot;
  }
}

arrow::Status ChunkDictionary::Grow() {
  slots_ = slots_ == 0 ? kFirstSlots : slots_ * 2;
  const auto bytes = static_cast<int64_t>(slots_ * sizeof(uint32_t));
  ARROW_RETURN_NOT_OK(table_.Resize(bytes));
  std::memset(table_.data(), 0, static_cast<size_t>(bytes));
  auto* slots = reinterpret_cast<uint32_t*>(table_.data());
  for (size_t i = 0; i < wanted_.size(); ++i) {
    size_t slot = wanted_[i].hash & (slots_ - 1);
    while (slots[slot] != 0) slot = (slot + 1) & (slots_ - 1);
    slots[slot] = static_cast<uint32_t>(i + 1);
  }
  return arrow::Status::OK();
}

arrow::Status ChunkDictionary::Want(std::string_view value) {
  if (values_.size() + static_cast<int64_t>(value.size() + 4 * wanted_.size()) > limit_) {
    return arrow::Status::OK();
  }
  if (2 * (wanted_.size() + 1) > slots_) ARROW_RETURN_NOT_OK(Grow());
  const uint64_t hash = Hash(value);
  const size_t slot = SlotOf(hash, value);
  auto* slots = reinterpret_cast<uint32_t*>(table_.data());
  if (slots[slot] != 0) return arrow::Status::OK();
  wanted_.push_back(
      {hash, static_cast<uint32_t>(values_.size()), static_cast<uint32_t>(value.size()), kNoCode});
  ARROW_RETURN_NOT_OK(values_.Append(value.data(), static_cast<int64_t>(value.size())));
  slots[slot] = static_cast<uint32_t>(wanted_.size());
  return arrow::Status::OK();
}

arrow::Status ChunkDictionary::Resolve() {
  if (wanted_.empty()) return arrow::Status::OK();
  ByteBuffer marks(table_.pool());
  ARROW_RETURN_NOT_OK(marks.Resize(1 << 13));
  std::memset(marks.data(), 0, 1 << 13);
  for (const Wanted& wanted : wanted_) {
    const uint32_t mark = Fingerprint(ValueOf(wanted).data(), wanted.length);
    marks.data()[mark / 8] = static_cast<uint8_t>(marks.data()[mark / 8] | 1 << (mark % 8));
  }
  const auto* slots = reinterpret_cast<const uint32_t*>(table_.data());
  for (uint32_t code = 0; code < count_; ++code) {
    const std::string_view entry = EntryAt(code);
    const uint32_t mark = Fingerprint(entry.data(), entry.size());
    if ((marks.data()[mark / 8] >> (mark % 8) & 1) == 0) continue;
    const uint32_t at = slots[SlotOf(Hash(entry), entry)];
    // Of equal entries, which no writer makes, the first counts.
    if (at != 0 && wanted_[at - 1].code == kNoCode) wanted_[at - 1].code = code;
  }
  int64_t bytes = static_cast<int64_t>(page_.values.size());
  for (Wanted& wanted : wanted_) {
    if (wanted.code != kNoCode) continue;
    bytes += wanted.length + (width_ > 0 ? 0 : 4);
    if (bytes > limit_ || count_ + added_ == INT32_MAX) break;
    wanted.code = count_ + added_++;
  }
  return arrow::Status::OK();
}

uint32_t ChunkDictionary::Find(std::string_view value) const {
  if (wanted_.empty()) return kNoCode;
  const auto* slots = reinterpret_cast<const uint32_t*>(table_.data());
  const uint32_t at = slots[SlotOf(Hash(value), value)];
  return at == 0 ? kNoCode : wanted_[at - 1].code;
}

arrow::Status ChunkDictionary::WriteTo(PatchedChunk* chunk) {
  if (added_ == 0) return chunk->CopyDictionary();
  for (const Wanted& wanted : wanted_) {
    if (wanted.code == kNoCode || wanted.code < count_) continue;
    if (width_ == 0) ARROW_RETURN_NOT_OK(grown_.AppendUint32(wanted.length));
    ARROW_RETURN_NOT_OK(grown_.Append(ValueOf(wanted).data(), wanted.length));
  }
  ARROW_RETURN_NOT_OK(chunk->GrowDictionary(page_, &grown_, size()));
  grown_.Reset();
  return arrow::Status::OK();
}

}  // namespace floodwall

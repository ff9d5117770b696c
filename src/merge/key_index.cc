#include "merge/key_index.h"

#include <algorithm>
#include <cstring>
#include <random>

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash.h"
#include "floodwall/bytes.h"

namespace floodwall {
namespace {

constexpr int64_t kArenaBlock = 256 * kKiB;

/// High half of the 128-bit product folded into the low one.
uint64_t MultiplyFold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

arrow::Result<std::unique_ptr<KeyIndex>> KeyIndex::Make(const KeySchema& schema, int64_t capacity,
                                                        arrow::MemoryPool* pool) {
  auto index = std::unique_ptr<KeyIndex>(new KeyIndex(schema.inlined, pool));
  std::random_device device;
  index->seed_ = (static_cast<uint64_t>(device()) << 32) | device();
  index->capacity_ = capacity;
  // Load of at most 24/31, and always an empty slot to end a search.
  index->slots_ = capacity * (kBytesPerKey - 1) / static_cast<int64_t>(sizeof(Slot)) + 2;
  index->words_ = capacity / 8 + 1;
  ARROW_ASSIGN_OR_RAISE(
      index->table_buffer_,
      arrow::AllocateBuffer(index->slots_ * static_cast<int64_t>(sizeof(Slot)), pool));
  index->table_ = reinterpret_cast<Slot*>(index->table_buffer_->mutable_data());
  std::fill_n(index->table_, index->slots_, Slot{0, 0, kNone});
  ARROW_ASSIGN_OR_RAISE(index->filter_buffer_, arrow::AllocateBuffer(index->words_ * 8, pool));
  index->filter_ = reinterpret_cast<uint64_t*>(index->filter_buffer_->mutable_data());
  std::fill_n(index->filter_, index->words_, uint64_t{0});
  return index;
}

uint64_t KeyIndex::Hash(const InlineKey& key) const {
  return MultiplyFold(key.low ^ seed_ ^ 0x9e3779b97f4a7c15ULL,
                      key.high ^ std::rotl(seed_, 32) ^ 0xd6e8feb86659fd93ULL) *
         0x9fb21c651e98df25ULL;
}

uint64_t KeyIndex::Hash(std::string_view key) const {
  return XXH3_64bits_withSeed(key.data(), key.size(), seed_);
}

int64_t KeyIndex::SlotOf(uint64_t hash) const {
  // Lemire's range reduction: any capacity, no division.
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>((static_cast<Wide>(hash) * static_cast<uint64_t>(slots_)) >> 64);
}

int64_t KeyIndex::WordOf(uint64_t hash) const {
  // Other bits than SlotOf's and BitsOf's decide.
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>(
      (static_cast<Wide>(std::rotl(hash, 32)) * static_cast<uint64_t>(words_)) >> 64);
}

int64_t KeyIndex::PartOf(const KeyBatch& batch, int64_t row, int64_t parts) {
  if (parts == 1) return 0;
  const auto i = static_cast<size_t>(row);
  const uint64_t hash = batch.inlined.empty()
                            ? XXH3_64bits(batch.Bytes(row).data(), batch.Bytes(row).size())
                            : XXH3_64bits(&batch.inlined[i], sizeof(InlineKey));
  return static_cast<int64_t>(hash % static_cast<uint64_t>(parts));
}

bool KeyIndex::Matches(const Slot& slot, uint64_t hash, std::string_view key) const {
  if (slot.low != hash) return false;
  const char* stored = reinterpret_cast<const char*>(slot.high);
  uint64_t length = 0;
  std::memcpy(&length, stored, sizeof(length));
  return length == key.size() && std::memcmp(stored + sizeof(length), key.data(), key.size()) == 0;
}

arrow::Result<const char*> KeyIndex::Store(std::string_view key) {
  const uint64_t length = key.size();
  const auto need = static_cast<int64_t>(sizeof(length) + length);
  if (arena_left_ < need) {
    const int64_t block = std::max(kArenaBlock, need);
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer,
                          arrow::AllocateBuffer(block, pool_));
    arena_next_ = reinterpret_cast<char*>(buffer->mutable_data());
    arena_left_ = block;
    arena_.push_back(std::move(buffer));
  }
  char* stored = arena_next_;
  std::memcpy(stored, &length, sizeof(length));
  std::memcpy(stored + sizeof(length), key.data(), key.size());
  arena_next_ += need;
  arena_left_ -= need;
  return stored;
}

arrow::Result<int64_t> KeyIndex::Insert(const KeyBatch& batch, int64_t row, int64_t ordinal,
                                        bool replace) {
  if (size_ >= capacity_) return arrow::Status::CapacityError("key index is full: ", capacity_);
  const auto found = [&](Slot& slot) {
    const int64_t old = slot.ordinal;
    if (replace) slot.ordinal = ordinal;
    return old;
  };
  if (inlined_) {
    const InlineKey& key = batch.inlined[static_cast<size_t>(row)];
    const uint64_t hash = Hash(key);
    int64_t i = SlotOf(hash);
    for (; table_[i].ordinal != kNone; i = i + 1 == slots_ ? 0 : i + 1) {
      if (table_[i].low == key.low && table_[i].high == key.high) return found(table_[i]);
    }
    table_[i] = Slot{key.low, key.high, ordinal};
    filter_[WordOf(hash)] |= BitsOf(hash);
  } else {
    const std::string_view key = batch.Bytes(row);
    const uint64_t hash = Hash(key);
    int64_t i = SlotOf(hash);
    for (; table_[i].ordinal != kNone; i = i + 1 == slots_ ? 0 : i + 1) {
      if (Matches(table_[i], hash, key)) return found(table_[i]);
    }
    ARROW_ASSIGN_OR_RAISE(const char* stored, Store(key));
    table_[i] = Slot{hash, reinterpret_cast<uint64_t>(stored), ordinal};
    filter_[WordOf(hash)] |= BitsOf(hash);
  }
  ++size_;
  return kNone;
}

void KeyIndex::Find(const KeyBatch& batch, int64_t* out) const {
  if (!inlined_) {
    for (int64_t row = 0; row < batch.length; ++row) {
      const std::string_view key = batch.Bytes(row);
      const uint64_t hash = Hash(key);
      out[row] = kNone;
      if (!MayHave(hash)) continue;
      int64_t i = SlotOf(hash);
      while (table_[i].ordinal != kNone && !Matches(table_[i], hash, key)) {
        i = i + 1 == slots_ ? 0 : i + 1;
      }
      out[row] = table_[i].ordinal;
    }
    return;
  }
  // Three rounds over short stretches: the slots of a whole stretch are on their way from memory
  // before the first is looked at.
  constexpr int64_t kStretch = 64;
  uint64_t hashes[kStretch];
  int64_t candidates[kStretch];
  for (int64_t start = 0; start < batch.length; start += kStretch) {
    const int64_t n = std::min(kStretch, batch.length - start);
    for (int64_t j = 0; j < n; ++j) {
      hashes[j] = Hash(batch.inlined[static_cast<size_t>(start + j)]);
      __builtin_prefetch(filter_ + WordOf(hashes[j]));
    }
    int64_t count = 0;
    for (int64_t j = 0; j < n; ++j) {
      out[start + j] = kNone;
      candidates[count] = j;
      const bool may = MayHave(hashes[j]);
      if (may) __builtin_prefetch(table_ + SlotOf(hashes[j]));
      count += may ? 1 : 0;
    }
    for (int64_t c = 0; c < count; ++c) {
      const int64_t j = candidates[c];
      const InlineKey& key = batch.inlined[static_cast<size_t>(start + j)];
      int64_t i = SlotOf(hashes[j]);
      while (table_[i].ordinal != kNone &&
             !(table_[i].low == key.low && table_[i].high == key.high)) {
        i = i + 1 == slots_ ? 0 : i + 1;
      }
      out[start + j] = table_[i].ordinal;
    }
  }
}

}  // namespace floodwall

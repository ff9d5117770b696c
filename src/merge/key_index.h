#pragma once

/// The source's keys in an open-addressing table: key -> ordinal of the source row that counts.
///
/// Keys are stored whole (inline up to 16 bytes, else in an arena), so every comparison is
/// exact: no hash decides anything. The seed of the hash is random per index, so crafted
/// keys cannot flood one bucket. A byte of filter a key answers most searches for keys that are
/// not there without a look at the table, which the processor's caches do not hold.
///
/// Threading: Insert from one thread; afterwards Find from many. Errors: OutOfMemory from the
/// pool. Memory: kBytesPerKey for each key, plus the bytes of keys that are not inline;
/// all from the given pool. Lifetime: the pool outlives the index.

#include <cstdint>
#include <memory>

#include "arrow/buffer.h"
#include "arrow/result.h"
#include "merge/key_encoder.h"

namespace floodwall {

class KeyIndex {
 public:
  static constexpr int64_t kNone = -1;
  /// Bytes of table and filter for each key of an index made for that many.
  static constexpr int64_t kBytesPerKey = 32;

  /// capacity: keys the table must take without growing.
  static arrow::Result<std::unique_ptr<KeyIndex>> Make(const KeySchema& schema, int64_t capacity,
                                                       arrow::MemoryPool* pool);

  /// Inserts key `row` of the batch for `ordinal`, or finds it there: then returns the
  /// ordinal already stored and, if `replace`, stores the new one. kNone when it is new.
  arrow::Result<int64_t> Insert(const KeyBatch& batch, int64_t row, int64_t ordinal, bool replace);

  /// out[i] = ordinal of key i of the batch, or kNone.
  void Find(const KeyBatch& batch, int64_t* out) const;

  int64_t size() const { return size_; }
  /// Which of `parts` parts a key belongs to, the same for every index.
  static int64_t PartOf(const KeyBatch& batch, int64_t row, int64_t parts);

  template <typename Visit>
  void ForEachOrdinal(const Visit& visit) const {
    for (int64_t i = 0; i < slots_; ++i) {
      if (table_[i].ordinal != kNone) visit(table_[i].ordinal);
    }
  }

 private:
  /// Inline: the key itself. Otherwise: hash and address in the arena.
  struct Slot {
    uint64_t low;
    uint64_t high;
    int64_t ordinal;
  };

  KeyIndex(bool inlined, arrow::MemoryPool* pool) : inlined_(inlined), pool_(pool) {}
  uint64_t Hash(const InlineKey& key) const;
  uint64_t Hash(std::string_view key) const;
  int64_t SlotOf(uint64_t hash) const;
  /// Where the filter keeps a hash, and as which bits.
  int64_t WordOf(uint64_t hash) const;
  static uint64_t BitsOf(uint64_t hash) {
    return uint64_t{1} << (hash & 63) | uint64_t{1} << (hash >> 6 & 63);
  }
  bool MayHave(uint64_t hash) const {
    const uint64_t bits = BitsOf(hash);
    return (filter_[WordOf(hash)] & bits) == bits;
  }
  bool Matches(const Slot& slot, uint64_t hash, std::string_view key) const;
  arrow::Result<const char*> Store(std::string_view key);

  const bool inlined_;
  arrow::MemoryPool* pool_;
  uint64_t seed_ = 0;
  int64_t slots_ = 0;
  int64_t size_ = 0;
  int64_t capacity_ = 0;
  std::shared_ptr<arrow::Buffer> table_buffer_;
  Slot* table_ = nullptr;
  std::shared_ptr<arrow::Buffer> filter_buffer_;
  uint64_t* filter_ = nullptr;
  int64_t words_ = 0;
  std::vector<std::shared_ptr<arrow::Buffer>> arena_;
  int64_t arena_left_ = 0;
  char* arena_next_ = nullptr;
};

}  // namespace floodwall

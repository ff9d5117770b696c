#pragma once

/// The dictionary page of a column chunk: its entries by index, and the new values of the chunk
/// that get an index in it, old or new. The page patcher is the caller.
///
/// Only the new values are hashed; the entries are looked up among them once, which costs neither
/// the memory nor the time of a table over a large dictionary.
///
/// Threading: one thread. Errors: kUnsupportedFile for a page that cannot be read. Units: bytes.
/// Lifetime: entries live as long as the dictionary. Memory: from the pool, the page and for byte
/// arrays four bytes an entry; kTableBytes a distinct new value and its bytes.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "arrow/result.h"
#include "dataset/byte_buffer.h"
#include "dataset/chunk_pages.h"
#include "dataset/patched_chunk.h"

namespace floodwall {

class ChunkDictionary {
 public:
  static constexpr uint32_t kNoCode = UINT32_MAX;
  static constexpr int64_t kTableBytes = 64;
  /// Bytes that a dictionary of `bytes` may grow to.
  static int64_t Limit(int64_t bytes);

  explicit ChunkDictionary(GuardedPool* pool)
      : loader_(pool), offsets_(pool), table_(pool), values_(pool), grown_(pool) {}

  arrow::Status Load(const BaseChunk& chunk, const PageEntry& entry);
  bool loaded() const { return loaded_; }

  arrow::Result<std::string_view> At(uint32_t code) const;
  /// Length of the longest entry.
  int64_t max_length() const { return max_length_; }

  /// A value that should get a code; ignored when no room is left.
  arrow::Status Want(std::string_view value);
  /// Gives every wanted value its code: that of an equal entry, or one behind the last entry.
  arrow::Status Resolve();
  /// The code of a value, kNoCode when it got none.
  uint32_t Find(std::string_view value) const;
  /// Entries, new ones included.
  uint32_t size() const { return count_ + added_; }
  /// Writes the dictionary page, as it was where nothing was added.
  arrow::Status WriteTo(PatchedChunk* chunk);

 private:
  struct Wanted {
    uint64_t hash;
    uint32_t offset;
    uint32_t length;
    uint32_t code;
  };
  size_t SlotOf(uint64_t hash, std::string_view value) const;
  std::string_view ValueOf(const Wanted& wanted) const;
  std::string_view EntryAt(uint32_t code) const {
    const auto* bytes = reinterpret_cast<const char*>(page_.values.data());
    if (width_ > 0) return {bytes + code * width_, static_cast<size_t>(width_)};
    const auto* starts = reinterpret_cast<const uint32_t*>(offsets_.data());
    return {bytes + starts[code], starts[code + 1] - starts[code] - 4};
  }
  arrow::Status Grow();

  PageLoader loader_;
  LoadedPage page_;
  ByteBuffer offsets_;  ///< uint32 each: starts of byte arrays behind their length
  ByteBuffer table_;    ///< uint32 each: index in wanted_ + 1, 0 for empty
  ByteBuffer values_;
  ByteBuffer grown_;
  std::vector<Wanted> wanted_;
  size_t slots_ = 0;
  int64_t limit_ = 0;
  int64_t width_ = 0;
  int64_t max_length_ = 0;
  uint32_t count_ = 0;
  uint32_t added_ = 0;
  bool loaded_ = false;
};

}  // namespace floodwall

#include "merge/row_bitmap.h"

#include <atomic>
#include <bit>
#include <cstring>

#include "arrow/util/bitmap_ops.h"

namespace floodwall {

arrow::Result<RowBitmap> RowBitmap::Make(int64_t length, arrow::MemoryPool* pool) {
  RowBitmap bitmap;
  const int64_t bytes = (length + 63) / 64 * 8;
  ARROW_ASSIGN_OR_RAISE(bitmap.words_, arrow::AllocateBuffer(bytes, pool));
  std::memset(bitmap.words_->mutable_data(), 0, static_cast<size_t>(bytes));
  return bitmap;
}

bool RowBitmap::Set(int64_t i) {
  auto* words = reinterpret_cast<uint64_t*>(words_->mutable_data());
  const uint64_t bit = uint64_t{1} << (i % 64);
  std::atomic_ref<uint64_t> word(words[i / 64]);
  if ((word.load(std::memory_order_relaxed) & bit) != 0) return false;
  return (word.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

void RowBitmap::Clear(int64_t i) {
  auto* words = reinterpret_cast<uint64_t*>(words_->mutable_data());
  std::atomic_ref<uint64_t> word(words[i / 64]);
  word.fetch_and(~(uint64_t{1} << (i % 64)), std::memory_order_relaxed);
}

bool RowBitmap::Get(int64_t i) const {
  return ((reinterpret_cast<const uint64_t*>(words_->data())[i / 64] >> (i % 64)) & 1) != 0;
}

int64_t RowBitmap::Count() const {
  int64_t count = 0;
  const auto* words = reinterpret_cast<const uint64_t*>(words_->data());
  for (int64_t i = 0; i < words_->size() / 8; ++i) count += std::popcount(words[i]);
  return count;
}

int64_t RowBitmap::CountRange(int64_t begin, int64_t end) const {
  return arrow::internal::CountSetBits(words_->data(), begin, end - begin);
}

}  // namespace floodwall

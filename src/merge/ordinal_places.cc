#include "merge/ordinal_places.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace floodwall {

OrdinalPlaces::OrdinalPlaces(std::vector<int64_t> ordinals)
    : size_(static_cast<int64_t>(ordinals.size())) {
  if (ordinals.empty()) return;
  first_ = ordinals.front();
  const auto words = static_cast<size_t>((ordinals.back() - first_) / 64 + 1);
  if (words * sizeof(Word) > ordinals.size() * sizeof(int64_t)) {
    sparse_ = std::move(ordinals);
    return;
  }
  words_.resize(words);
  for (const int64_t ordinal : ordinals) {
    const auto bit = static_cast<uint64_t>(ordinal - first_);
    words_[bit / 64].bits |= uint64_t{1} << (bit % 64);
  }
  int64_t before = 0;
  for (Word& word : words_) {
    word.before = before;
    before += std::popcount(word.bits);
  }
}

int64_t OrdinalPlaces::Find(int64_t ordinal) const {
  if (words_.empty()) {
    const auto at = std::lower_bound(sparse_.begin(), sparse_.end(), ordinal);
    return at == sparse_.end() || *at != ordinal ? kNone : at - sparse_.begin();
  }
  if (ordinal < first_) return kNone;
  const auto bit = static_cast<uint64_t>(ordinal - first_);
  if (bit / 64 >= words_.size()) return kNone;
  const Word& word = words_[bit / 64];
  const uint64_t mask = uint64_t{1} << (bit % 64);
  if ((word.bits & mask) == 0) return kNone;
  return word.before + std::popcount(word.bits & (mask - 1));
}

}  // namespace floodwall

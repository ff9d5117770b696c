#pragma once

/// Where each of some ascending ordinals is among them. Sets of source rows are asked once for
/// every value that is taken, so this is one look into memory unless the ordinals lie far apart.
///
/// Threading: const from many threads. Memory: at most 8 bytes an ordinal, twice while it is made;
/// the caller plans for it.

#include <cstdint>
#include <vector>

namespace floodwall {

class OrdinalPlaces {
 public:
  static constexpr int64_t kNone = -1;

  OrdinalPlaces() = default;
  explicit OrdinalPlaces(std::vector<int64_t> ordinals);

  int64_t size() const { return size_; }
  /// Its position, or kNone.
  int64_t Find(int64_t ordinal) const;

 private:
  /// Which of 64 ordinals in a row there are, and how many before them.
  struct Word {
    uint64_t bits = 0;
    int64_t before = 0;
  };

  int64_t size_ = 0;
  int64_t first_ = 0;
  std::vector<Word> words_;
  std::vector<int64_t> sparse_;  ///< instead of words
};

}  // namespace floodwall

#include "merge/ordinal_places.h"

#include <random>

#include <gtest/gtest.h>

namespace floodwall {
namespace {

/// Every ordinal is found at its place, every other number nowhere.
void Check(const std::vector<int64_t>& ordinals) {
  const OrdinalPlaces places(ordinals);
  ASSERT_EQ(places.size(), std::ssize(ordinals));
  size_t next = 0;
  const int64_t last = ordinals.empty() ? 0 : ordinals.back();
  for (int64_t ordinal = ordinals.empty() ? 0 : ordinals.front() - 2; ordinal < last + 200;
       ++ordinal) {
    const bool there = next < ordinals.size() && ordinals[next] == ordinal;
    ASSERT_EQ(places.Find(ordinal), there ? static_cast<int64_t>(next) : OrdinalPlaces::kNone)
        << ordinal;
    next += there ? 1 : 0;
  }
}

TEST(OrdinalPlaces, FindsNothingAmongNone) { Check({}); }

TEST(OrdinalPlaces, FindsWhatLiesTogether) {
  Check({7});
  Check({63, 64, 65, 127, 128});
  std::vector<int64_t> all;
  for (int64_t i = 1000; i < 3000; ++i) all.push_back(i);
  Check(all);
}

TEST(OrdinalPlaces, FindsWhatLiesFarApart) {
  Check({5, 5000, 50000});
  const OrdinalPlaces places({3, int64_t{1} << 60});
  EXPECT_EQ(places.Find(int64_t{1} << 60), 1);
  EXPECT_EQ(places.Find(4), OrdinalPlaces::kNone);
}

TEST(OrdinalPlaces, FindsAnySelection) {
  std::mt19937 random(1);  // NOLINT: the same every time
  for (const int share : {2, 10, 31, 33, 100}) {
    std::vector<int64_t> ordinals;
    for (int64_t i = 0; i < 20000; ++i) {
      if (random() % static_cast<unsigned>(share) == 0) ordinals.push_back(i);
    }
    Check(ordinals);
  }
}

}  // namespace
}  // namespace floodwall

// Patched chunks against a naive oracle and against ColumnRecoder, over random types, encodings,
// codecs, page versions, nulls, edits and removals; and what the new metadata claims.

#include "merge/page_patcher.h"

#include "gtest/gtest.h"
#include "support/patch_case.h"

namespace floodwall::testing {
namespace {

class PagePatcherProperty : public ::testing::TestWithParam<int> {};

TEST_P(PagePatcherProperty, EqualsTheOracleAndTheRecoder) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  int written = 0;
  int patched = 0;
  for (int round = 0; round < 60; ++round) {
    TemporaryDirectory directory;
    PatchCase test(&random, directory.path());
    SCOPED_TRACE(test.description());
    const PatchOutcome outcome = test.Patch(directory.path() + "/patched.parquet");
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
    ASSERT_TRUE(outcome.could_patch);
    ++patched;
    ASSERT_EQ(outcome.changed, test.ExpectedChanges());
    if (!outcome.written) continue;
    ++written;
    ASSERT_TRUE(test.ReadsAsExpected(directory.path() + "/patched.parquet"));
    test.CheckMetadata(directory.path() + "/patched.parquet");
    ASSERT_TRUE(test.Recode(directory.path() + "/recoded.parquet").ok());
    ASSERT_TRUE(test.ReadsAsExpected(directory.path() + "/recoded.parquet"));
  }
  EXPECT_GT(written, patched / 2);
  EXPECT_LT(written, patched);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PagePatcherProperty, ::testing::Range(1, 9));

TEST(PagePatcher, SameInputsGiveTheSameBytes) {
  for (unsigned seed = 100; seed < 110; ++seed) {
    TemporaryDirectory directory;
    for (const char* name : {"/a", "/b"}) {
      std::mt19937 random(seed);
      PatchCase test(&random, directory.path());
      ASSERT_TRUE(test.Patch(directory.path() + name).status.ok());
    }
    const auto contents = directory.Contents();
    EXPECT_EQ(contents.count("a"), contents.count("b"));
    EXPECT_TRUE(contents.count("a") == 0 || contents.at("a") == contents.at("b"));
  }
}

TEST(PagePatcher, DamagedPagesAreRefusedOrPatchedNeverMore) {
  std::mt19937 random(7);
  int refused = 0;
  int done = 0;
  for (int round = 0; round < 150; ++round) {
    TemporaryDirectory directory;
    PatchCase test(&random, directory.path());
    SCOPED_TRACE(test.description());
    for (int damage = 0; damage < 10; ++damage) {
      test.DamagePages(&random);
      const PatchOutcome outcome = test.Patch(directory.path() + "/patched.parquet");
      if (outcome.status.ok()) {
        ++done;
      } else {
        ++refused;
        const ErrorDetail* detail = ErrorDetail::From(outcome.status);
        ASSERT_TRUE(detail != nullptr && detail->kind == ErrorKind::kUnsupportedFile)
            << outcome.status.ToString();
      }
      test.Repair();
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(done, 100);
}

}  // namespace
}  // namespace floodwall::testing

#include "dataset/parquet_source.h"

#include "gtest/gtest.h"
#include "support/sample_files.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

TEST(ParquetSource, DescribesPagesAndReleasesItsCharge) {
  testing::TemporaryDirectory directory;
  auto budget = Budget::Make("b", Budget::kUnlimited);
  auto file = ParquetSource::Open(testing::WriteSample(directory.path()), budget).ValueOrDie();
  EXPECT_EQ(file->num_row_groups(), 4);
  EXPECT_EQ(file->num_rows(), 10000);
  EXPECT_EQ(file->row_group_rows(3), 1000);
  EXPECT_GT(budget->used_bytes(), 0);
  const PageSummary pages = file->ScanPages(0, 0).ValueOrDie();
  EXPECT_GE(pages.page_count, 1);
  EXPECT_TRUE(pages.all_dictionary_encoded);
  EXPECT_TRUE(file->has_page_index(0, 0));
  file.reset();
  EXPECT_EQ(budget->used_bytes(), 0);
}

TEST(ParquetSource, GivesOneRowGroupToArrowAndChargesItWhileItIsHeld) {
  testing::TemporaryDirectory directory;
  auto budget = Budget::Make("b", Budget::kUnlimited);
  auto file = ParquetSource::Open(testing::WriteSample(directory.path()), budget).ValueOrDie();
  const int64_t opened = budget->used_bytes();
  auto last = file->RowGroupMetadata(3).ValueOrDie();
  const int64_t one = budget->used_bytes() - opened;
  EXPECT_GT(one, 0);
  EXPECT_EQ(last->num_row_groups(), 1);
  EXPECT_EQ(last->num_rows(), 1000);
  EXPECT_EQ(last->RowGroup(0)->num_rows(), 1000);
  EXPECT_EQ(last->RowGroup(0)->ColumnChunk(1)->data_page_offset() > 0, true);
  EXPECT_EQ(file->RowGroupMetadata(3).ValueOrDie().get(), last.get());
  auto first = file->RowGroupMetadata(0).ValueOrDie();
  EXPECT_EQ(first->num_rows(), 3000);
  EXPECT_GT(budget->used_bytes() - opened, one);  // both are held
  first.reset();
  last.reset();
  file.reset();
  EXPECT_EQ(budget->used_bytes(), 0);
}

TEST(ParquetSource, MeasuresWhatAFooterTakesWithoutTakingIt) {
  testing::TemporaryDirectory directory;
  const std::string path = testing::WriteSample(directory.path());
  const int64_t need = ParquetSource::MeasureFooter(path).ValueOrDie();
  auto wide = Budget::Make("b", Budget::kUnlimited);
  auto file = ParquetSource::Open(path, wide).ValueOrDie();
  EXPECT_EQ(file->footer_need(), need);
  for (int g = 0; g < file->num_row_groups(); ++g) {
    ASSERT_TRUE(file->RowGroupMetadata(g).ok());
  }
  EXPECT_LE(wide->peak_bytes() + file->reader_bytes(), need);
  file.reset();
  // Exactly that much is enough, also while it is opened.
  auto exact = Budget::Make("b", need);
  file = ParquetSource::Open(path, exact).ValueOrDie();
  ASSERT_TRUE(file->RowGroupMetadata(3).ok());
  ASSERT_TRUE(exact->Reserve(file->reader_bytes()).ok());
  exact->Release(file->reader_bytes());
}

}  // namespace
}  // namespace floodwall

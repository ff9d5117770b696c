#include "spill/row_spill.h"

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

std::shared_ptr<arrow::RecordBatch> MakeBatch(int64_t first, int64_t rows) {
  arrow::Int64Builder ids;
  arrow::StringBuilder names;
  arrow::ListBuilder lists(arrow::default_memory_pool(), std::make_shared<arrow::Int32Builder>());
  for (int64_t i = first; i < first + rows; ++i) {
    EXPECT_TRUE(ids.Append(i).ok());
    EXPECT_TRUE((i % 5 == 0 ? names.AppendNull() : names.Append("name " + std::to_string(i))).ok());
    EXPECT_TRUE(lists.Append().ok());
    for (int64_t j = 0; j < i % 3; ++j) {
      EXPECT_TRUE(static_cast<arrow::Int32Builder*>(lists.value_builder())
                      ->Append(static_cast<int>(j))
                      .ok());
    }
  }
  const auto schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("name", arrow::utf8()),
                     arrow::field("list", arrow::list(arrow::int32()))});
  return arrow::RecordBatch::Make(
      schema, rows,
      {ids.Finish().ValueOrDie(), names.Finish().ValueOrDie(), lists.Finish().ValueOrDie()});
}

TEST(RowSpill, GivesColumnsOfEachChainBack) {
  testing::TemporaryDirectory root;
  SpillDirectory directory(root.path(), -1);
  const auto all = MakeBatch(0, 100000);
  auto* pool = arrow::default_memory_pool();
  auto spill = RowSpill::Make(&directory, all->schema(), 3, pool).ValueOrDie();
  // Slices of a batch are written without the rest of it.
  for (int64_t row = 0; row < all->num_rows(); row += 1000) {
    const int chain = row / 1000 % 4 == 0 ? 0 : 2;
    ASSERT_TRUE(spill->Append(chain, *all->Slice(row, 1000)).ok());
  }
  EXPECT_EQ(spill->rows(0), 25000);
  EXPECT_EQ(spill->rows(1), 0);
  EXPECT_EQ(spill->rows(2), 75000);
  EXPECT_LT(spill->size_bytes(), 2'000'000);
  int64_t row = 0;
  size_t next[3] = {0, 0, 0};
  for (; row < all->num_rows(); row += 1000) {
    const int chain = row / 1000 % 4 == 0 ? 0 : 2;
    const RowRegion& region = spill->regions(chain)[next[chain]++];
    ASSERT_EQ(region.rows, 1000);
    for (int c = 0; c < all->num_columns(); ++c) {
      const auto found = spill->ReadColumn(region, c, pool).ValueOrDie();
      ASSERT_TRUE(found->ValidateFull().ok());
      ASSERT_TRUE(found->Equals(all->column(c)->Slice(row, 1000))) << row << " " << c;
    }
  }
}

}  // namespace
}  // namespace floodwall

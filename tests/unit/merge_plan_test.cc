// A plan beside the merge it is of, and the memory it names.

#include "floodwall/merge_plan.h"

#include <filesystem>
#include <fstream>

#include "arrow/api.h"
#include "arrow/io/file.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "parquet/arrow/writer.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

std::shared_ptr<arrow::Table> MakeRows(int64_t first, int64_t rows, const std::string& text) {
  arrow::Int64Builder ids;
  arrow::StringBuilder texts;
  for (int64_t i = first; i < first + rows; ++i) {
    EXPECT_TRUE(ids.Append(i).ok());
    EXPECT_TRUE(texts.Append(text + std::to_string(i * 40503 % 65537)).ok());
  }
  return arrow::Table::Make(
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("text", arrow::utf8())}),
      {ids.Finish().ValueOrDie(), texts.Finish().ValueOrDie()});
}

void WriteRows(const arrow::Table& table, const std::string& path) {
  auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  ASSERT_TRUE(parquet::arrow::WriteTable(table, arrow::default_memory_pool(), sink, 5000).ok());
  ASSERT_TRUE(sink->Close().ok());
}

class MergePlanOf : public ::testing::TestWithParam<MergeStrategy> {};

TEST_P(MergePlanOf, AgreesWithTheMergeAtItsMinimum) {
  testing::TemporaryDirectory directory;
  const std::string root = directory.path() + "/data";
  std::filesystem::create_directory(root);
  WriteRows(*MakeRows(0, 20000, "old "), root + "/f.parquet");
  WriteRows(*MakeRows(15000, 30000, "new "), directory.path() + "/changes.parquet");
  const auto source = MergeSource::FromParquet({directory.path() + "/changes.parquet"});
  MergeOptions options;
  options.strategy = GetParam();
  options.key_columns = {"id"};
  const auto before = directory.Contents();
  const MergePlan plan = PlanMerge(source, root, options).ValueOrDie();
  EXPECT_EQ(directory.Contents(), before);
  options.max_memory_bytes = plan.minimum_memory_bytes;
  const MergeResult result = Merge(source, root, options).ValueOrDie();
  EXPECT_EQ(plan.source_count, result.source_count);
  EXPECT_EQ(plan.inserted, result.inserted);
  EXPECT_EQ(plan.updated, result.updated);
  EXPECT_EQ(plan.deleted, result.deleted);
  EXPECT_EQ(plan.target_count_after, result.target_count_after);
  EXPECT_EQ(plan.row_groups, 4);
  EXPECT_LE(result.peak_memory_bytes, plan.minimum_memory_bytes);
  options.max_memory_bytes = plan.minimum_memory_bytes / 4;
  const auto refused = Merge(source, root, options).status();
  const ErrorDetail* detail = ErrorDetail::From(refused);
  ASSERT_NE(detail, nullptr) << refused.ToString();
  EXPECT_EQ(detail->kind, ErrorKind::kMemoryLimitTooSmall);
}

INSTANTIATE_TEST_SUITE_P(Strategies, MergePlanOf,
                         ::testing::Values(MergeStrategy::kUpsert, MergeStrategy::kUpdate,
                                           MergeStrategy::kDelete, MergeStrategy::kFullMerge,
                                           MergeStrategy::kDeduplicate));

TEST(MergePlan, AReaderOfAnInterruptedCommitIsSentToRecovery) {
  testing::TemporaryDirectory directory;
  WriteRows(*MakeRows(0, 10, "old "), directory.path() + "/f.parquet");
  std::filesystem::create_directory(directory.path() + "/_floodwall");
  std::ofstream(directory.path() + "/_floodwall/committed") << "a journal";
  MergeOptions options;
  options.key_columns = {"id"};
  const auto refused =
      PlanMerge(MergeSource::FromTable(MakeRows(5, 10, "new ")), directory.path(), options);
  const ErrorDetail* detail = ErrorDetail::From(refused.status());
  ASSERT_NE(detail, nullptr);
  EXPECT_EQ(detail->kind, ErrorKind::kConflict);
}

}  // namespace
}  // namespace floodwall

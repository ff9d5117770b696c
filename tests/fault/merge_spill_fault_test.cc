#include <filesystem>

#include "arrow/api.h"
#include "arrow/io/file.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "merge/merge_with.h"
#include "parquet/arrow/writer.h"
#include "support/faulty_spill.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

std::shared_ptr<arrow::Table> MakeRows(int64_t first, int64_t rows, const std::string& text) {
  arrow::Int64Builder ids;
  arrow::StringBuilder texts;
  for (int64_t i = first; i < first + rows; ++i) {
    // In no order: 7919 and the modulus have no common divisor.
    EXPECT_TRUE(ids.Append((i - first) * 7919 % rows + first).ok());
    EXPECT_TRUE(texts.Append(text + std::to_string(i * 40503 % 65537)).ok());
  }
  return arrow::Table::Make(
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("text", arrow::utf8())}),
      {ids.Finish().ValueOrDie(), texts.Finish().ValueOrDie()});
}

void WriteTarget(const std::string& root) {
  const auto table = MakeRows(0, 20000, "old ");
  auto sink = arrow::io::FileOutputStream::Open(root + "/f.parquet").ValueOrDie();
  ASSERT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), sink, 5000).ok());
  ASSERT_TRUE(sink->Close().ok());
}

arrow::Result<MergeResult> MergeStream(SpillCalls* calls, const std::string& root) {
  // Half of the keys are known; keys, stream and matched rows are too many for the memory.
  static const auto table = MakeRows(10000, 260000, "a new text that takes some room ");
  arrow::RecordBatchVector batches;
  arrow::TableBatchReader cut(*table);
  cut.set_chunksize(20000);
  while (auto batch = cut.Next().ValueOrDie()) {
    arrow::ArrayVector copies;
    for (const auto& column : batch->columns()) {
      copies.push_back(arrow::Concatenate({column}).ValueOrDie());
    }
    batches.push_back(arrow::RecordBatch::Make(table->schema(), batch->num_rows(), copies));
  }
  MergeOptions options;
  options.key_columns = {"id"};
  options.max_memory_bytes = 24 << 20;
  auto reader = arrow::RecordBatchReader::Make(batches, table->schema()).ValueOrDie();
  return MergeWith({.spill = calls}, MergeSource::FromReader(reader), root, options);
}

TEST(MergeSpillFault, EveryFailureIsTypedAndLeavesTheDataset) {
  testing::FaultySpill counting;
  {
    testing::TemporaryDirectory directory;
    WriteTarget(directory.path());
    const auto result = MergeStream(&counting, directory.path());
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_EQ(result->updated, 10000);
    EXPECT_EQ(result->inserted, 250000);
    EXPECT_GT(result->bytes_spilled, 3 << 20);
  }
  ASSERT_GT(counting.calls, 60);
  const int errors[] = {ENOSPC, EDQUOT, EIO, EACCES};
  // The first calls one by one, the rest in steps: each merge takes a while.
  for (int k = 1; k < counting.calls; k += k < 8 ? 1 : counting.calls / 12) {
    testing::TemporaryDirectory directory;
    WriteTarget(directory.path());
    const auto before = directory.Contents();
    testing::FaultySpill calls;
    calls.fail_at = k;
    calls.os_error = errors[k % 4];
    const auto result = MergeStream(&calls, directory.path());
    ASSERT_FALSE(result.ok()) << k;
    ASSERT_NE(ErrorDetail::From(result.status()), nullptr) << result.status().ToString();
    EXPECT_EQ(ErrorDetail::From(result.status())->kind, ErrorKind::kSpill) << k;
    EXPECT_EQ(ErrorDetail::From(result.status())->os_error, errors[k % 4]) << k;
    EXPECT_EQ(calls.open_files, 0) << k;
    EXPECT_EQ(directory.Contents().at("f.parquet"), before.at("f.parquet")) << k;
    // A later merge finds nothing in its way, whatever was left.
    ASSERT_TRUE(Recover(directory.path()).ok());
    int left = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(directory.path() + "/_floodwall")) {
      left += entry.path().filename() != "lock" ? 1 : 0;
    }
    EXPECT_EQ(left, 0) << k;
  }
}

TEST(MergeSpillFault, ShortAndInterruptedCallsChangeNothing) {
  testing::TemporaryDirectory directory;
  WriteTarget(directory.path());
  testing::FaultySpill calls;
  calls.most_a_write = 10007;
  calls.most_a_read = 5003;
  calls.interrupted = true;
  const auto result = MergeStream(&calls, directory.path());
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->target_count_after, 270000);
}

}  // namespace
}  // namespace floodwall

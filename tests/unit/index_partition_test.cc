#include "merge/index_partition.h"

#include "arrow/builder.h"
#include "arrow/compute/initialize.h"
#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

/// Keys 0 .. distinct - 1 again and again, numbered.
class IndexPartitionTest : public ::testing::Test {
 protected:
  void Fill(int64_t rows, int64_t distinct) {
    ASSERT_TRUE(arrow::compute::Initialize().ok());
    options_.spill_directory = root_.path();
    context_ = std::make_unique<RunContext>(options_);
    context_->OpenSpill("");
    schema_ = KeySchema::Resolve({"id"}, {{arrow::int64()}}).ValueOrDie();
    arrow::Int64Builder ids;
    for (int64_t i = 0; i < rows; ++i) ASSERT_TRUE(ids.Append(i % distinct).ok());
    keys_ = std::make_unique<KeyBatch>(context_->read_pool);
    KeyEncoder encoder(&schema_, context_->read_pool);
    ASSERT_TRUE(encoder.Encode({ids.Finish().ValueOrDie()}, keys_.get()).ok());
    partitions_ = KeyPartitions::Make(&schema_, false, 1, 4096, context_.get()).ValueOrDie();
    for (int64_t i = 0; i < rows; ++i) {
      ASSERT_TRUE(partitions_->Append(0, *keys_, i, 100 + i).ok());
    }
    ASSERT_TRUE(partitions_->Finish().ok());
  }

  testing::TemporaryDirectory root_;
  MergeOptions options_;
  std::unique_ptr<RunContext> context_;
  KeySchema schema_;
  IndexPartition::Types order_types_;
  std::unique_ptr<KeyBatch> keys_;
  std::unique_ptr<KeyPartitions> partitions_;
};

TEST_F(IndexPartitionTest, SettlesDuplicates) {
  for (const bool last : {true, false}) {
    options_.source_duplicates = last ? SourceDuplicates::kLast : SourceDuplicates::kFirst;
    Fill(250, 100);
    IndexPartition index(schema_, order_types_, 1 << 20, context_.get());
    ASSERT_TRUE(index.Load({{partitions_.get(), 0}}).ok());
    EXPECT_EQ(index.dropped(), 150);
    EXPECT_EQ(index.first_dropped().front(), 200);
    EXPECT_EQ(index.first_dropped().size(), 10U);
    std::vector<int64_t> found(250);
    index.Find(*keys_, found.data());
    EXPECT_EQ(found[10], last ? 310 : 110);
    EXPECT_EQ(found[60], last ? 260 : 160);
    int64_t winners = 0;
    index.ForEachOrdinal([&](int64_t) { ++winners; });
    EXPECT_EQ(winners, 100);
  }
}

TEST_F(IndexPartitionTest, AFloodOfOneKeyFitsWhereDifferentKeysDoNot) {
  Fill(50000, 3);
  {
    IndexPartition index(schema_, order_types_, 64 << 10, context_.get());
    ASSERT_TRUE(index.Load({{partitions_.get(), 0}}).ok());
    EXPECT_EQ(index.dropped(), 49997);
  }
  Fill(50000, 50000);
  IndexPartition index(schema_, order_types_, 64 << 10, context_.get());
  const arrow::Status full = index.Load({{partitions_.get(), 0}});
  EXPECT_TRUE(IndexPartition::IsFull(full)) << full.ToString();
  index.Clear();
  EXPECT_EQ(context_->index_pool->bytes_allocated(), 0);
}

}  // namespace
}  // namespace floodwall

#include "merge/key_partitions.h"

#include <map>
#include <set>

#include "arrow/builder.h"
#include "arrow/compute/initialize.h"
#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

class KeyPartitionsTest : public ::testing::Test {
 protected:
  KeyPartitionsTest() : context_(options_) {
    EXPECT_TRUE(arrow::compute::Initialize().ok());
    options_.spill_directory = root_.path();
    context_.OpenSpill("");
  }

  void Encode(const KeySchema& schema, const std::shared_ptr<arrow::Array>& column, KeyBatch* out) {
    KeyEncoder encoder(&schema, context_.read_pool);
    ASSERT_TRUE(encoder.Encode({column}, out).ok());
  }

  testing::TemporaryDirectory root_;
  MergeOptions options_;
  RunContext context_;
};

TEST_F(KeyPartitionsTest, InlineKeysComeBackInOrderAndEqualOnesTogether) {
  const auto schema = KeySchema::Resolve({"id"}, {{arrow::int64()}}).ValueOrDie();
  arrow::Int64Builder ids;
  constexpr int64_t kRows = 20000;
  for (int64_t i = 0; i < kRows; ++i) ASSERT_TRUE(ids.Append(i % 5000).ok());
  KeyBatch batch(context_.read_pool);
  Encode(schema, ids.Finish().ValueOrDie(), &batch);
  const KeyDealer dealer(7);
  auto partitions = KeyPartitions::Make(&schema, false, 7, 4096, &context_).ValueOrDie();
  for (int64_t i = 0; i < kRows; ++i) {
    ASSERT_TRUE(partitions->Append(dealer.PartitionOf(batch, i), batch, i, i).ok());
  }
  ASSERT_TRUE(partitions->Finish().ok());
  std::set<int64_t> seen;
  std::map<int64_t, int> home;  // key -> partition
  for (int p = 0; p < 7; ++p) {
    EXPECT_GT(partitions->records(p), kRows / 7 / 2);
    int64_t last = -1;
    ASSERT_TRUE(partitions
                    ->ForEachBatch(p,
                                   [&](const KeyedBatch& found) {
                                     for (int64_t i = 0; i < found.keys.length; ++i) {
                                       const int64_t number = found.numbers[size_t(i)];
                                       EXPECT_GT(number, last);
                                       last = number;
                                       seen.insert(number);
                                       EXPECT_EQ(found.keys.inlined[size_t(i)],
                                                 batch.inlined[size_t(number)]);
                                       EXPECT_EQ(home.emplace(number % 5000, p).first->second, p);
                                     }
                                     return arrow::Status::OK();
                                   })
                    .ok());
  }
  EXPECT_EQ(seen.size(), size_t(kRows));
}

TEST_F(KeyPartitionsTest, LongKeysComeBackWithTheirNotes) {
  const auto schema = KeySchema::Resolve({"k"}, {{arrow::utf8()}}).ValueOrDie();
  arrow::StringBuilder texts;
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(texts.Append(std::string(size_t(i) * 40, 'k') + std::to_string(i)).ok());
  }
  KeyBatch batch(context_.read_pool);
  Encode(schema, texts.Finish().ValueOrDie(), &batch);
  auto partitions = KeyPartitions::Make(&schema, true, 2, 1024, &context_).ValueOrDie();
  for (int64_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(partitions->Append(1, batch, i, 1000 + i, std::string(size_t(i % 5), 'n')).ok());
  }
  ASSERT_TRUE(partitions->Finish().ok());
  EXPECT_EQ(partitions->records(0), 0);
  int64_t next = 0;
  ASSERT_TRUE(partitions
                  ->ForEachBatch(1,
                                 [&](const KeyedBatch& found) {
                                   for (int64_t i = 0; i < found.keys.length; ++i, ++next) {
                                     EXPECT_EQ(found.keys.Bytes(i), batch.Bytes(next));
                                     EXPECT_EQ(found.numbers[size_t(i)], 1000 + next);
                                     EXPECT_EQ(found.notes[size_t(i)],
                                               std::string(size_t(next % 5), 'n'));
                                   }
                                   return arrow::Status::OK();
                                 })
                  .ok());
  EXPECT_EQ(next, 300);
}

}  // namespace
}  // namespace floodwall

#include "merge/key_index.h"

#include "arrow/builder.h"
#include "arrow/compute/initialize.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

template <typename Builder, typename Value>
std::shared_ptr<arrow::Array> Make(const std::vector<Value>& values) {
  Builder builder;
  for (const Value& value : values) EXPECT_TRUE(builder.Append(value).ok());
  return builder.Finish().ValueOrDie();
}

void Encode(const KeySchema& schema, std::vector<std::shared_ptr<arrow::Array>> columns,
            KeyBatch* out) {
  KeyEncoder encoder(&schema, arrow::default_memory_pool());
  ASSERT_TRUE(encoder.Encode(columns, out).ok());
}

TEST(KeyIndex, FindsIntegerKeysAcrossWidths) {
  const auto schema = KeySchema::Resolve({"id"}, {{arrow::int64(), arrow::int32()}}).ValueOrDie();
  ASSERT_TRUE(schema.inlined);
  constexpr int64_t kKeys = 100000;
  arrow::Int64Builder wide;
  arrow::Int32Builder narrow;
  for (int64_t i = 0; i < kKeys; ++i) {
    ASSERT_TRUE(wide.Append(i * 3 - 1000).ok());
    ASSERT_TRUE(narrow.Append(static_cast<int32_t>(i - 1000)).ok());
  }
  KeyBatch batch(arrow::default_memory_pool());
  Encode(schema, {wide.Finish().ValueOrDie()}, &batch);
  auto index = KeyIndex::Make(schema, kKeys, arrow::default_memory_pool()).ValueOrDie();
  for (int64_t i = 0; i < kKeys; ++i) {
    ASSERT_EQ(index->Insert(batch, i, i, true).ValueOrDie(), KeyIndex::kNone);
  }
  EXPECT_FALSE(index->Insert(batch, 0, 0, true).ok());  // full
  KeyBatch probe(arrow::default_memory_pool());
  Encode(schema, {narrow.Finish().ValueOrDie()}, &probe);
  std::vector<int64_t> found(kKeys);
  index->Find(probe, found.data());
  for (int64_t i = 0; i < kKeys; ++i) {
    ASSERT_EQ(found[static_cast<size_t>(i)], i % 3 == 0 ? i / 3 : KeyIndex::kNone) << i;
  }
}

TEST(KeyIndex, LastOrFirstOfDuplicatesStays) {
  ASSERT_TRUE(arrow::compute::Initialize().ok());
  const auto schema = KeySchema::Resolve({"k"}, {{arrow::utf8()}}).ValueOrDie();
  EXPECT_FALSE(schema.inlined);
  KeyBatch batch(arrow::default_memory_pool());
  Encode(schema, {Make<arrow::StringBuilder, std::string>({"a", "b", "a"})}, &batch);
  for (const bool replace : {true, false}) {
    auto index = KeyIndex::Make(schema, 3, arrow::default_memory_pool()).ValueOrDie();
    for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(index->Insert(batch, i, i, replace).ok());
    std::vector<int64_t> found(3);
    index->Find(batch, found.data());
    EXPECT_EQ(found, (std::vector<int64_t>{replace ? 2 : 0, 1, replace ? 2 : 0}));
    EXPECT_EQ(index->size(), 2);
  }
}

}  // namespace
}  // namespace floodwall

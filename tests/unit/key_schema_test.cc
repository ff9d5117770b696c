#include "merge/key_schema.h"

#include "floodwall/error.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

using arrow::TimeUnit;

KeyForm FormOf(std::vector<std::shared_ptr<arrow::DataType>> types) {
  return KeySchema::Resolve({"k"}, {std::move(types)}).ValueOrDie().components[0].form;
}

TEST(KeySchema, ComparesByLogicalValue) {
  EXPECT_EQ(FormOf({arrow::int8(), arrow::int64()}), KeyForm::kInteger);
  EXPECT_EQ(FormOf({arrow::int64(), arrow::uint64()}), KeyForm::kMixedSign);
  EXPECT_EQ(FormOf({arrow::utf8(), arrow::dictionary(arrow::int8(), arrow::large_utf8())}),
            KeyForm::kBytes);
  EXPECT_EQ(FormOf({arrow::timestamp(TimeUnit::MILLI), arrow::timestamp(TimeUnit::NANO)}),
            KeyForm::kSplitInstant);
  EXPECT_EQ(FormOf({arrow::decimal128(10, 2), arrow::decimal128(12, 3)}),
            KeyForm::kStrippedDecimal);
  EXPECT_EQ(FormOf({arrow::null(), arrow::int32()}), KeyForm::kInteger);
}

TEST(KeySchema, RefusesWhatCannotBeEqual) {
  const std::vector<std::pair<std::shared_ptr<arrow::DataType>, std::shared_ptr<arrow::DataType>>>
      pairs = {{arrow::boolean(), arrow::int32()},
               {arrow::int32(), arrow::float64()},
               {arrow::utf8(), arrow::binary()},
               {arrow::timestamp(TimeUnit::MILLI), arrow::timestamp(TimeUnit::MILLI, "UTC")},
               {arrow::list(arrow::int8()), arrow::list(arrow::int8())}};
  for (const auto& [a, b] : pairs) {
    const auto result = KeySchema::Resolve({"k"}, {{a, b}});
    ASSERT_FALSE(result.ok()) << a->ToString();
    EXPECT_EQ(ErrorDetail::From(result.status())->kind, ErrorKind::kSchemaMismatch);
  }
}

TEST(KeySchema, SmallCompositeKeysAreTheirOwnIdentity) {
  EXPECT_TRUE(KeySchema::Resolve({"a", "b"}, {{arrow::int64()}, {arrow::int32()}})->inlined);
  EXPECT_FALSE(KeySchema::Resolve({"a", "b"}, {{arrow::int64()}, {arrow::int64()}})->inlined);
}

}  // namespace
}  // namespace floodwall

#include "merge/plain_values.h"

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "arrow/compute/initialize.h"
#include "gtest/gtest.h"

namespace floodwall {
namespace {

TEST(PlainValues, DecodesDictionariesAndViews) {
  ASSERT_TRUE(arrow::compute::Initialize().ok());
  auto* pool = arrow::default_memory_pool();
  arrow::StringBuilder plain;
  arrow::StringViewBuilder views;
  arrow::StringDictionaryBuilder dictionary;
  for (const char* text : {"a", "long enough to lie outside of a view", "a", ""}) {
    ASSERT_TRUE(plain.Append(text).ok());
    ASSERT_TRUE(views.Append(text).ok());
    ASSERT_TRUE(dictionary.Append(text).ok());
  }
  ASSERT_TRUE(plain.AppendNull().ok());
  ASSERT_TRUE(views.AppendNull().ok());
  ASSERT_TRUE(dictionary.AppendNull().ok());
  const auto expected = plain.Finish().ValueOrDie();
  const std::shared_ptr<arrow::Array> encoded[] = {expected, views.Finish().ValueOrDie(),
                                                   dictionary.Finish().ValueOrDie()};
  for (const auto& values : encoded) {
    const auto found = PlainValues(values, pool).ValueOrDie();
    EXPECT_TRUE(found->Equals(expected)) << found->ToString();
    EXPECT_TRUE(PlainType(values->type())->Equals(arrow::utf8()));
  }
  EXPECT_TRUE(PlainType(arrow::list(arrow::dictionary(arrow::int8(), arrow::utf8())))
                  ->Equals(arrow::list(arrow::utf8())));
}

TEST(LogicalBytes, DoNotDependOnSlicing) {
  arrow::ListBuilder lists(arrow::default_memory_pool(), std::make_shared<arrow::StringBuilder>());
  auto* strings = static_cast<arrow::StringBuilder*>(lists.value_builder());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(lists.Append().ok());
    for (int j = 0; j < i % 4; ++j) ASSERT_TRUE(strings->Append(std::string(size_t(i), 'x')).ok());
  }
  const auto whole = lists.Finish().ValueOrDie();
  const auto slice = whole->Slice(20, 30);
  const auto copy = arrow::Concatenate({slice}).ValueOrDie();
  EXPECT_EQ(LogicalBytes(*slice), LogicalBytes(*copy));
  EXPECT_EQ(LogicalBytes(*whole), LogicalBytes(*whole->Slice(0, 20)) + LogicalBytes(*slice) +
                                      LogicalBytes(*whole->Slice(50)));
}

}  // namespace
}  // namespace floodwall

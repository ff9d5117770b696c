#include "dataset/compact_thrift.h"

#include <random>

#include "gtest/gtest.h"

namespace floodwall::thrift {
namespace {

Value Sample() {
  Value list;
  list.type = Type::kList;
  list.element_type = Type::kI64;
  for (int64_t i = 0; i < 20; ++i) list.elements.push_back(Int(Type::kI64, (i - 10) << (i * 3)));
  Value inner;
  inner.type = Type::kStruct;
  inner.Set(1, Binary(std::string("a\0b", 3)));
  inner.Set(40, Int(Type::kTrue, 1));
  Value root;
  root.type = Type::kStruct;
  root.Set(1, Int(Type::kI32, -7));
  root.Set(2, std::move(list));
  root.Set(3, std::move(inner));
  root.Set(900, Int(Type::kByte, -1));
  return root;
}

TEST(CompactThrift, WritesBackWhatItRead) {
  std::string bytes;
  AppendStruct(Sample(), &bytes);
  size_t consumed = 0;
  const Value back = ParseStruct(bytes + "rest", &consumed).ValueOrDie();
  EXPECT_EQ(consumed, bytes.size());
  std::string again;
  AppendStruct(back, &again);
  EXPECT_EQ(again, bytes);
  EXPECT_EQ(back.GetInt(1, 0), -7);
  EXPECT_EQ(back.Find(3)->Find(1)->bytes, std::string("a\0b", 3));
  EXPECT_EQ(back.GetInt(900, 0), -1);
}

TEST(CompactThrift, RefusesEveryTruncation) {
  std::string bytes;
  AppendStruct(Sample(), &bytes);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(ParseStruct(std::string_view(bytes).substr(0, n), nullptr).ok()) << n;
  }
}

TEST(CompactThrift, RefusesLiesAboutSizesWithoutTakingMemory) {
  // Field 1, a list of structs with 2^35 elements; then a binary of 2^40 bytes.
  EXPECT_FALSE(ParseStruct(std::string("\x19\xfc\x80\x80\x80\x80\x80\x01\x00", 9), nullptr).ok());
  EXPECT_FALSE(ParseStruct(std::string("\x18\x80\x80\x80\x80\x80\x20\x00", 8), nullptr).ok());
  EXPECT_FALSE(ParseStruct(std::string(100000, '\x1c'), nullptr).ok());  // endless nesting
}

TEST(CompactThrift, SurvivesMutations) {
  std::string bytes;
  AppendStruct(Sample(), &bytes);
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) {
    std::string mutated = bytes;
    for (int j = 0; j < 3; ++j) {
      mutated[random() % mutated.size()] = static_cast<char>(random());
    }
    (void)ParseStruct(mutated, nullptr);
  }
}

}  // namespace
}  // namespace floodwall::thrift

#include "merge/key_ranges.h"

#include "arrow/array/concatenate.h"
#include "arrow/array/util.h"
#include "arrow/builder.h"
#include "arrow/io/file.h"
#include "arrow/table.h"
#include "floodwall/budget.h"
#include "gtest/gtest.h"
#include "parquet/arrow/writer.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

template <typename ArrowType, typename Value = typename ArrowType::c_type>
std::shared_ptr<arrow::Array> Numbers(const std::vector<Value>& values, int64_t nulls = 0,
                                      std::shared_ptr<arrow::DataType> type = nullptr) {
  if (type == nullptr) {
    if constexpr (arrow::TypeTraits<ArrowType>::is_parameter_free) {
      type = arrow::TypeTraits<ArrowType>::type_singleton();
    }
  }
  typename arrow::TypeTraits<ArrowType>::BuilderType builder(type, arrow::default_memory_pool());
  for (const Value& value : values) EXPECT_TRUE(builder.Append(value).ok());
  EXPECT_TRUE(builder.AppendNulls(nulls).ok());
  return builder.Finish().ValueOrDie();
}

std::shared_ptr<arrow::Array> Texts(const std::vector<std::string>& values) {
  arrow::StringBuilder builder;
  EXPECT_TRUE(builder.AppendValues(values).ok());
  return builder.Finish().ValueOrDie();
}

/// A file of one column "k", a row group of two rows after another.
class OneColumn {
 public:
  explicit OneColumn(std::shared_ptr<arrow::Array> values, int64_t group_rows = 2,
                     bool statistics = true) {
    const std::string path = directory_.path() + "/a.parquet";
    auto table = arrow::Table::Make(arrow::schema({arrow::field("k", values->type())}), {values});
    parquet::WriterProperties::Builder properties;
    if (!statistics) properties.disable_statistics();
    auto out = arrow::io::FileOutputStream::Open(path).ValueOrDie();
    EXPECT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), out, group_rows,
                                           properties.build())
                    .ok());
    EXPECT_TRUE(out->Close().ok());
    file_ = ParquetSource::Open(path, Budget::Make("test", int64_t{64} << 20)).ValueOrDie();
  }

  std::vector<bool> MayMatch(const KeyRanges& ranges) const {
    std::vector<bool> out;
    for (int g = 0; g < file_->num_row_groups(); ++g) {
      out.push_back(ranges.MayMatch(*file_, g).ValueOrDie());
    }
    return out;
  }

 private:
  testing::TemporaryDirectory directory_;
  std::shared_ptr<ParquetSource> file_;
};

KeyRanges RangesOf(const std::vector<std::shared_ptr<arrow::Array>>& batches, int64_t rows = 10) {
  KeyRanges ranges({"k"}, rows);
  for (const auto& batch : batches) ranges.Observe({batch});
  return ranges;
}

using Answers = std::vector<bool>;

TEST(KeyRanges, LeavesOutRowGroupsBetweenTheKeys) {
  const OneColumn file(Numbers<arrow::Int64Type>({-9, -5, -4, 0, 1, 7, 8, 9}));
  EXPECT_EQ(file.MayMatch(RangesOf({Numbers<arrow::Int64Type>({-7, 8})})),
            (Answers{true, false, false, true}));
  // Ends count; widths do not matter.
  EXPECT_EQ(file.MayMatch(RangesOf({Numbers<arrow::Int16Type>({-4, 1})})),
            (Answers{false, true, true, false}));
  EXPECT_EQ(file.MayMatch(RangesOf({Numbers<arrow::Int64Type>({-100, 100})})),
            (Answers{false, false, false, false}));
  EXPECT_EQ(file.MayMatch(RangesOf({Numbers<arrow::Int64Type>({})})),
            (Answers{false, false, false, false}));
}

TEST(KeyRanges, KeepsWhatIsInDoubt) {
  const auto keys = Numbers<arrow::Int64Type>({100});
  const OneColumn bare(Numbers<arrow::Int64Type>({1, 2}), 2, /*statistics=*/false);
  EXPECT_EQ(bare.MayMatch(RangesOf({keys})), Answers{true});
  const OneColumn with_null(Numbers<arrow::Int64Type>({1}, 1));
  EXPECT_EQ(with_null.MayMatch(RangesOf({keys})), Answers{false});
  EXPECT_EQ(with_null.MayMatch(RangesOf({Numbers<arrow::Int64Type>({100}, 1)})), Answers{true});
  const OneColumn without_null(Numbers<arrow::Int64Type>({1, 2}));
  EXPECT_EQ(without_null.MayMatch(RangesOf({Numbers<arrow::Int64Type>({100}, 1)})), Answers{false});
  const OneColumn only_null(Numbers<arrow::Int64Type>({}, 2));
  EXPECT_EQ(only_null.MayMatch(RangesOf({Numbers<arrow::Int64Type>({}, 1)})), Answers{true});
  const OneColumn floats(Numbers<arrow::DoubleType>({1, 2}));
  EXPECT_EQ(floats.MayMatch(RangesOf({Numbers<arrow::DoubleType>({100})})), Answers{true});
  // Unsigned beside signed, other units.
  const OneColumn large(Numbers<arrow::UInt64Type>({5, uint64_t{1} << 63}));
  EXPECT_EQ(large.MayMatch(RangesOf({Numbers<arrow::Int64Type>({-1})})), Answers{true});
  const auto ms = arrow::timestamp(arrow::TimeUnit::MILLI);
  const auto us = arrow::timestamp(arrow::TimeUnit::MICRO);
  const OneColumn instants(Numbers<arrow::TimestampType, int64_t>({1000, 2000}, 0, us));
  EXPECT_EQ(instants.MayMatch(RangesOf({Numbers<arrow::TimestampType, int64_t>({1}, 0, ms)})),
            Answers{true});
  EXPECT_EQ(instants.MayMatch(RangesOf({Numbers<arrow::TimestampType, int64_t>({1}, 0, us)})),
            Answers{false});
  // No column of the name: a hive partition column.
  KeyRanges other({"other"}, 1);
  other.Observe({keys});
  EXPECT_EQ(without_null.MayMatch(other), Answers{true});
}

TEST(KeyRanges, OrdersUnsignedValuesAndBytes) {
  const uint64_t top = uint64_t{1} << 63;
  const OneColumn large(Numbers<arrow::UInt64Type>({5, 6, top, top + 1}));
  EXPECT_EQ(large.MayMatch(RangesOf({Numbers<arrow::UInt64Type>({top + 1})})),
            (Answers{false, true}));
  const OneColumn narrow(Numbers<arrow::UInt32Type>({5, 6, 0x80000000u, 0xffffffffu}));
  EXPECT_EQ(narrow.MayMatch(RangesOf({Numbers<arrow::UInt8Type>({6})})), (Answers{true, false}));
  EXPECT_EQ(narrow.MayMatch(RangesOf({Numbers<arrow::UInt32Type>({0xfffffff0u})})),
            (Answers{false, true}));
  const OneColumn texts(Texts({"a", "b", "y", "\xc3\xa9"}));
  EXPECT_EQ(texts.MayMatch(RangesOf({Texts({"c", "d"})})), (Answers{false, false}));
  EXPECT_EQ(texts.MayMatch(RangesOf({Texts({"\xc3\xa0"})})), (Answers{false, true}));
  EXPECT_EQ(texts.MayMatch(RangesOf({Texts({"b"})})), (Answers{true, false}));
  EXPECT_EQ(texts.MayMatch(RangesOf({Texts({std::string(5000, 'z')})})), (Answers{true, true}));
}

/// However many keys there are and in whatever order they come, none is forgotten.
TEST(KeyRanges, CoversEveryKeyInFewIntervals) {
  std::vector<int64_t> present, batch;
  std::vector<std::shared_ptr<arrow::Array>> batches;
  uint64_t seed = 7;
  for (int64_t i = 0; i < 3000; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    batch.push_back(static_cast<int64_t>(seed >> 40) * (i % 7 == 0 ? 1000 : 1));
    present.push_back(batch.back());
    if (batch.size() == 500) {
      batches.push_back(Numbers<arrow::Int64Type>(batch));
      batch.clear();
    }
  }
  const OneColumn file(Numbers<arrow::Int64Type>(present), 1);
  for (const int64_t rows : {int64_t{3000}, KeyRanges::kMostSortedRows + 1}) {
    for (const bool may_match : file.MayMatch(RangesOf(batches, rows))) EXPECT_TRUE(may_match);
  }
  // A narrow cluster and a far one leave the wide gap open.
  std::vector<int64_t> clusters;
  for (int64_t i = 0; i < 2000; ++i) clusters.push_back(i % 2 == 0 ? 3 * i : 1000000 + 5 * i);
  const OneColumn gap(Numbers<arrow::Int64Type>({500000, 600000, 7, 8}));
  EXPECT_EQ(gap.MayMatch(RangesOf({Numbers<arrow::Int64Type>(clusters)}, 2000)),
            (Answers{false, true}));
}

}  // namespace
}  // namespace floodwall

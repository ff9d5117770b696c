// What page index, bloom filter and dictionary exclude, and that a lie in any of them keeps rows.

#include "merge/row_group_pruning.h"

#include <functional>

#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "dataset/parquet_thrift.h"
#include "gtest/gtest.h"
#include "merge/read_row_group.h"
#include "support/sample_files.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;
using Ranges = std::vector<RowRange>;

constexpr int64_t kRows = 1000;
constexpr int64_t kPageRows = 100;
const Ranges kAll = {{0, kRows}};

std::shared_ptr<arrow::Array> Integers(const std::vector<int64_t>& values) {
  arrow::Int64Builder builder;
  EXPECT_TRUE(builder.AppendValues(values).ok());
  return builder.Finish().ValueOrDie();
}

KeyRanges Keys(const std::shared_ptr<arrow::Array>& values) {
  KeyRanges out({"k"}, values->length());
  out.Observe({values});
  return out;
}

parquet::WriterProperties::Builder Properties() {
  parquet::WriterProperties::Builder out;
  out.disable_dictionary()->enable_write_page_index()->max_rows_per_page(kPageRows);
  return out;
}

/// One row group of a column "k", in pages of 100 rows, whose metadata can be changed.
class OneGroup {
 public:
  OneGroup(std::shared_ptr<arrow::Array> values,
           const std::shared_ptr<parquet::WriterProperties>& properties)
      : values_(std::move(values)) {
    const auto schema = arrow::schema({arrow::field("k", values_->type())});
    testing::WriteTable(*arrow::Table::Make(schema, {values_}), directory_.path() + "/a.parquet",
                        kRows, properties);
    bytes_ = directory_.Contents().at("a.parquet");
    footer = thrift::ParseStruct(testing::Footer(bytes_), nullptr).ValueOrDie();
  }

  Value& chunk() {
    return footer.Find(field::file_metadata::kRowGroups)
        ->elements[0]
        .Find(field::row_group::kColumns)
        ->elements[0];
  }
  Value& meta() { return *chunk().Find(field::column_chunk::kMetaData); }
  std::string& bytes() { return bytes_; }

  /// Changes the struct that two fields of the chunk point at.
  void Change(int16_t offset_id, int16_t length_id, const std::function<void(Value*)>& change) {
    const auto offset = static_cast<size_t>(chunk().GetInt(offset_id, -1));
    Value index = thrift::ParseStruct(bytes_.substr(offset), nullptr).ValueOrDie();
    change(&index);
    std::string encoded;
    thrift::AppendStruct(index, &encoded);
    const size_t at = bytes_.size() - 8 - testing::FooterLength(bytes_);
    bytes_.insert(at, encoded);
    chunk().SetInt(offset_id, Type::kI64, static_cast<int64_t>(at));
    chunk().SetInt(length_id, Type::kI32, static_cast<int64_t>(encoded.size()));
  }
  void ChangeBounds(const std::function<void(Value*)>& change) {
    Change(field::column_chunk::kColumnIndexOffset, field::column_chunk::kColumnIndexLength,
           change);
  }
  void ChangeOffsets(const std::function<void(Value*)>& change) {
    Change(field::column_chunk::kOffsetIndexOffset, field::column_chunk::kOffsetIndexLength,
           [&](Value* index) { change(index->Find(field::offset_index::kPageLocations)); });
  }

  KeptRows Find(const KeyRanges& keys, int64_t limit = int64_t{64} << 20) {
    directory_.Write("changed.parquet", testing::WithFooter(bytes_, footer));
    budget_ = Budget::Make("test", limit);
    pool_ = GuardedPool::Make(budget_);
    file_ = ParquetSource::Open(directory_.path() + "/changed.parquet", budget_).ValueOrDie();
    auto kept = FindKeptRows(keys, file_, 0, pool_);
    EXPECT_TRUE(kept.ok()) << kept.status().ToString();
    return kept.ok() ? std::move(*kept) : KeptRows{};
  }
  Ranges Kept(const KeyRanges& keys) { return Find(keys).ranges; }

  /// Reads what was kept and compares it with what was written.
  void ExpectReadable(const KeptRows& kept) {
    int64_t rows = 0;
    const auto status =
        ReadRows(file_, 0, {"k"}, 64, pool_, kept.ranges, kept.pages.get(),
                 [&](int64_t row, const arrow::RecordBatch& batch) {
                   EXPECT_TRUE(batch.column(0)->Equals(values_->Slice(row, batch.num_rows())))
                       << "row " << row;
                   rows += batch.num_rows();
                   return arrow::Status::OK();
                 });
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(rows, kept.num_rows());
  }
  int64_t used_bytes() const { return budget_->used_bytes(); }
  void Close() { file_.reset(); }

  Value footer;

 private:
  testing::TemporaryDirectory directory_;
  std::shared_ptr<arrow::Array> values_;
  std::string bytes_;
  std::shared_ptr<Budget> budget_;
  GuardedPool* pool_ = nullptr;
  std::shared_ptr<ParquetSource> file_;
};

/// 0, 2, 4 ...
std::shared_ptr<arrow::Array> Evens() {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < kRows; ++i) out.push_back(2 * i);
  return Integers(out);
}

TEST(RowGroupPruning, PageIndexKeepsPagesThatMeetAKey) {
  for (const auto version :
       {parquet::ParquetDataPageVersion::V1, parquet::ParquetDataPageVersion::V2}) {
    auto properties = Properties();
    OneGroup file(Evens(), properties.data_page_version(version)->build());
    KeptRows kept = file.Find(Keys(Integers({200, 250, 1401, 1602})));
    EXPECT_EQ(kept.ranges, (Ranges{{100, 200}, {700, 900}}));
    ASSERT_NE(kept.pages, nullptr);
    EXPECT_LT(kept.pages->bytes(), 4 * kPageRows * 8);
    file.ExpectReadable(kept);
    kept.ranges = {{130, 140}, {799, 801}, {899, 900}};  // within pages and over their border
    file.ExpectReadable(kept);
    // Between two pages' bounds there is nothing.
    EXPECT_EQ(file.Kept(Keys(Integers({199, 399}))), Ranges{});
    kept = {};
    file.Close();
    EXPECT_EQ(file.used_bytes(), 0);
  }
}

TEST(RowGroupPruning, NullsAreFoundInTheirPagesOnly) {
  arrow::Int64Builder builder;
  for (int64_t i = 0; i < kRows; ++i) {
    const bool null = i == 305 || (i >= 600 && i < 700);
    ASSERT_TRUE((null ? builder.AppendNull() : builder.Append(2 * i)).ok());
  }
  OneGroup file(builder.Finish().ValueOrDie(), Properties().build());
  arrow::Int64Builder keys;
  ASSERT_TRUE(keys.AppendNull().ok());
  const auto only_null = keys.Finish().ValueOrDie();
  const KeptRows kept = file.Find(Keys(only_null));
  EXPECT_EQ(kept.ranges, (Ranges{{300, 400}, {600, 700}}));
  file.ExpectReadable(kept);
  EXPECT_EQ(file.Kept(Keys(Integers({1300, 1998}))), (Ranges{{900, 1000}}));
  file.ChangeBounds([](Value* index) { index->Erase(field::column_index::kNullCounts); });
  EXPECT_EQ(file.Kept(Keys(only_null)), kAll);
}

/// Each change makes the index say something that no reader should build on.
TEST(RowGroupPruning, AnIndexThatLiesKeepsRows) {
  namespace id = field::column_index;
  namespace location = field::page_location;
  const KeyRanges keys = Keys(Integers({200, 202}));
  const Ranges found = {{100, 200}};
  const auto with = [&](const std::function<void(OneGroup*)>& change) {
    OneGroup file(Evens(), Properties().build());
    change(&file);
    KeptRows kept = file.Find(keys);
    file.ExpectReadable(kept);
    return kept.ranges;
  };
  const auto bounds = [&](const std::function<void(Value*)>& change) {
    return with([&](OneGroup* file) { file->ChangeBounds(change); });
  };
  const auto offsets = [&](const std::function<void(std::vector<Value>*)>& change) {
    return with([&](OneGroup* file) {
      file->ChangeOffsets([&](Value* list) { change(&list->elements); });
    });
  };
  EXPECT_EQ(bounds([](Value*) {}), found);
  // What the order of pages is said to be is not used.
  for (const int64_t order : {id::kUnordered, id::kAscending, id::kDescending, int64_t{7}}) {
    EXPECT_EQ(bounds([&](Value* v) { v->SetInt(id::kBoundaryOrder, Type::kI32, order); }), found);
  }
  EXPECT_EQ(bounds([](Value* v) { v->Find(id::kNullPages)->elements.pop_back(); }), kAll);
  EXPECT_EQ(bounds([](Value* v) { v->Find(id::kMinValues)->elements.pop_back(); }), kAll);
  EXPECT_EQ(bounds([](Value* v) { v->Erase(id::kMaxValues); }), kAll);
  EXPECT_EQ(bounds([](Value* v) { v->Find(id::kNullPages)->elements[1].integer = 1; }), kAll);
  EXPECT_EQ(bounds([](Value* v) { v->Find(id::kNullCounts)->elements[3].integer = -1; }), kAll);
  EXPECT_EQ(bounds([](Value* v) { v->Find(id::kNullCounts)->elements[3].integer = 101; }), kAll);
  // Bounds that are none keep their page.
  const Ranges and_sixth = {{100, 200}, {500, 600}};
  EXPECT_EQ(bounds([](Value* v) { v->Find(id::kMinValues)->elements[5].bytes = "ab"; }), and_sixth);
  EXPECT_EQ(bounds([](Value* v) {
              std::swap(v->Find(id::kMinValues)->elements[5], v->Find(id::kMaxValues)->elements[5]);
            }),
            and_sixth);
  EXPECT_EQ(bounds([](Value* v) {  // wider than the values
              v->Find(id::kMinValues)->elements[5] = v->Find(id::kMinValues)->elements[0];
            }),
            and_sixth);
  // Orders that are not defined.
  EXPECT_EQ(with([](OneGroup* f) { f->footer.Erase(field::file_metadata::kColumnOrders); }), kAll);

  EXPECT_EQ(offsets([](auto*) {}), found);
  EXPECT_EQ(offsets([](auto* pages) { pages->pop_back(); }), kAll);
  EXPECT_EQ(offsets([](auto* pages) { std::swap((*pages)[2], (*pages)[4]); }), kAll);
  for (const int64_t row : {int64_t{0}, int64_t{99}, int64_t{101}, int64_t{1} << 40}) {
    EXPECT_EQ(
        offsets([&](auto* pages) { (*pages)[1].SetInt(location::kFirstRow, Type::kI64, row); }),
        kAll)
        << row;
  }
  for (const int64_t offset : {int64_t{-1}, int64_t{0}, int64_t{100}, int64_t{1} << 40}) {
    EXPECT_EQ(
        offsets([&](auto* pages) { (*pages)[1].SetInt(location::kOffset, Type::kI64, offset); }),
        kAll)
        << offset;
  }
  for (const int64_t length : {-1, 0, 10, INT32_MAX}) {
    EXPECT_EQ(offsets([&](auto* pages) {
                (*pages)[1].SetInt(location::kCompressedPageSize, Type::kI32, length);
              }),
              kAll)
        << length;
  }
  for (const int16_t id :
       {field::column_chunk::kColumnIndexOffset, field::column_chunk::kOffsetIndexOffset}) {
    for (const int64_t offset : {int64_t{1}, int64_t{1} << 40}) {
      EXPECT_EQ(with([&](OneGroup* f) { f->chunk().SetInt(id, Type::kI64, offset); }), kAll);
    }
  }
}

TEST(RowGroupPruning, StatisticsThatCannotBeTrustedKeepRows) {
  auto properties = Properties();
  properties.disable_write_page_index();
  const KeyRanges beyond = Keys(Integers({5000}));
  const auto with = [&](const std::function<void(Value*)>& change) {
    OneGroup file(Evens(), properties.build());
    change(file.meta().Find(field::column_metadata::kStatistics));
    return file.Kept(beyond);
  };
  EXPECT_EQ(with([](Value*) {}), Ranges{});
  EXPECT_EQ(with([](Value* v) {
              std::swap(*v->Find(field::statistics::kMin), *v->Find(field::statistics::kMax));
            }),
            kAll);
  EXPECT_EQ(with([](Value* v) {
              v->Erase(field::statistics::kMin);
              v->Erase(field::statistics::kMax);
            }),
            kAll);
  OneGroup none(Evens(), properties.build());
  none.meta().Erase(field::column_metadata::kStatistics);
  EXPECT_EQ(none.Kept(beyond), kAll);
}

TEST(RowGroupPruning, BloomFilterIsAskedWhereItSaysTheTruth) {
  auto properties = Properties();
  properties.disable_write_page_index()->enable_bloom_filter("k", {.ndv = kRows, .fpp = 1e-6});
  const KeyRanges absent = Keys(Integers({201, 777}));
  for (const auto& type : {arrow::int64(), arrow::int32(), arrow::uint32(), arrow::int16()}) {
    const auto cast = [&](const std::shared_ptr<arrow::Array>& values) {
      return arrow::compute::Cast(*values, type).ValueOrDie();
    };
    OneGroup file(cast(Evens()), properties.build());
    const bool is_unsigned = arrow::is_unsigned_integer(type->id());
    const auto keys = [&](const std::vector<int64_t>& values) {
      return Keys(is_unsigned ? cast(Integers(values)) : Integers(values));
    };
    EXPECT_EQ(file.Kept(keys({201, 777})), Ranges{}) << type->ToString();
    EXPECT_EQ(file.Kept(keys({201, 778})), kAll) << type->ToString();
    EXPECT_EQ(file.Find(keys({201, 777})).bytes_read, 64);
  }
  const auto with = [&](const std::function<void(OneGroup*)>& change) {
    OneGroup file(Evens(), properties.build());
    change(&file);
    return file.Kept(absent);
  };
  const auto header = [&](int16_t id) {
    return with([&](OneGroup* file) {
      const auto at =
          static_cast<size_t>(file->meta().GetInt(field::column_metadata::kBloomFilterOffset, -1));
      size_t length = 0;
      Value value = thrift::ParseStruct(file->bytes().substr(at), &length).ValueOrDie();
      value.Find(id)->fields[0].id = 2;  // a member that nobody knows
      std::string encoded;
      thrift::AppendStruct(value, &encoded);
      ASSERT_EQ(encoded.size(), length);
      file->bytes().replace(at, length, encoded);
    });
  };
  namespace id = field::bloom_filter_header;
  for (const int16_t changed : {id::kAlgorithm, id::kHash, id::kCompression}) {
    EXPECT_EQ(header(changed), kAll);
  }
  for (const int64_t offset : {int64_t{4}, int64_t{1} << 40}) {
    EXPECT_EQ(with([&](OneGroup* file) {
                file->meta().SetInt(field::column_metadata::kBloomFilterOffset, Type::kI64, offset);
              }),
              kAll);
  }
  EXPECT_EQ(with([&](OneGroup* file) {
              file->meta().SetInt(field::column_metadata::kBloomFilterLength, Type::kI32, 500);
            }),
            kAll);
}

TEST(RowGroupPruning, DictionaryIsAskedWhereEveryPageUsesIt) {
  std::vector<int64_t> tens;
  for (int64_t i = 0; i < kRows; ++i) tens.push_back(i % 20 * 10);
  parquet::WriterProperties::Builder properties;
  properties.max_rows_per_page(kPageRows)->disable_write_page_index();
  OneGroup file(Integers(tens), properties.build());
  EXPECT_EQ(file.Kept(Keys(Integers({5, 15, 185}))), Ranges{});
  EXPECT_EQ(file.Kept(Keys(Integers({5, 15, 180}))), kAll);
  // Statistics of encodings that lie, one way or the other: the pages themselves count.
  ASSERT_NE(file.meta().Find(field::column_metadata::kEncodingStats), nullptr);
  const Value all_in_dictionary = *file.meta().Find(field::column_metadata::kEncodingStats);
  file.meta().Erase(field::column_metadata::kEncodingStats);
  EXPECT_EQ(file.Kept(Keys(Integers({5, 15, 185}))), Ranges{});

  // The dictionary is full after the first rows.
  std::vector<int64_t> more(kRows);
  for (size_t i = 0; i < more.size(); ++i) {
    more[i] = i < 500 ? tens[i] : static_cast<int64_t>(i) * 16 % 8009;
  }
  OneGroup fallen(Integers(more),
                  properties.dictionary_pagesize_limit(200)->write_batch_size(16)->build());
  EXPECT_EQ(fallen.Kept(Keys(Integers({5, 15, 185}))), kAll);
  fallen.meta().Set(field::column_metadata::kEncodingStats, all_in_dictionary);
  EXPECT_EQ(fallen.Kept(Keys(Integers({5, 15, 185}))), kAll);
}

TEST(RowGroupPruning, WhatDoesNotFitIsNotAsked) {
  OneGroup file(Evens(), Properties().build());
  const KeyRanges keys = Keys(Integers({200}));
  int64_t kept = 0;
  int64_t whole = 0;
  for (int64_t limit = 80 << 10; limit < 160 << 10; limit += 1 << 10) {
    const Ranges ranges = file.Find(keys, limit).ranges;
    ASSERT_TRUE(ranges == kAll || ranges == (Ranges{{100, 200}}));
    ++(ranges == kAll ? whole : kept);
  }
  EXPECT_GT(kept, 0);
  file.Close();
  EXPECT_EQ(file.used_bytes(), 0);
}

}  // namespace
}  // namespace floodwall

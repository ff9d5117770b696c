// Files that lie: each is refused with a reason, at once, and takes no memory for what it claims.

#include <sys/stat.h>

#include <functional>
#include <limits>

#include "dataset/parquet_source.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "support/heap_watch.h"
#include "support/sample_files.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;

class HostileParquet : public ::testing::Test {
 protected:
  HostileParquet() {
    testing::WriteSample(directory_.path());
    good_ = directory_.Contents().at("base.parquet");
    footer_ = thrift::ParseStruct(testing::Footer(good_), nullptr).ValueOrDie();
  }

  arrow::Result<std::shared_ptr<ParquetSource>> Open(const std::string& bytes) {
    directory_.Write("bad.parquet", bytes);
    return ParquetSource::Open(directory_.path() + "/bad.parquet", budget_);
  }
  arrow::Result<std::shared_ptr<ParquetSource>> OpenWith(const std::function<void()>& change) {
    change();
    return Open(testing::WithFooter(good_, footer_));
  }
  void ExpectRefused(const arrow::Status& status, const std::string& why) {
    const ErrorDetail* detail = ErrorDetail::From(status);
    ASSERT_NE(detail, nullptr) << status.ToString();
    EXPECT_EQ(detail->kind, ErrorKind::kUnsupportedFile) << status.ToString();
    EXPECT_NE(status.message().find(why), std::string::npos) << status.ToString();
    EXPECT_NE(status.message().find("bad.parquet"), std::string::npos) << status.ToString();
    EXPECT_EQ(budget_->used_bytes(), 0);
  }

  Value& group(size_t g) { return footer_.Find(field::file_metadata::kRowGroups)->elements[g]; }
  Value& chunk(size_t g, size_t c) {
    return group(g).Find(field::row_group::kColumns)->elements[c];
  }
  Value& meta(size_t g, size_t c) { return *chunk(g, c).Find(field::column_chunk::kMetaData); }

  testing::TemporaryDirectory directory_;
  std::shared_ptr<Budget> budget_ = Budget::Make("b", Budget::kUnlimited);
  std::string good_;
  Value footer_;
};

TEST_F(HostileParquet, UnchangedFooterOpens) {
  EXPECT_TRUE(OpenWith([] {}).ok());
}

TEST_F(HostileParquet, AFifoIsRefusedAndNotWaitedFor) {
  const std::string path = directory_.path() + "/bad.parquet";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  ExpectRefused(ParquetSource::Open(path, budget_).status(), "no regular file");
}

TEST_F(HostileParquet, EncryptionIsRefusedWhereverItShows) {
  std::string magic = good_;
  magic.replace(magic.size() - 4, 4, "PARE");
  ExpectRefused(Open(magic).status(), "encrypted");
  Value algorithm;
  algorithm.type = Type::kStruct;
  const Value unchanged = footer_;
  ExpectRefused(OpenWith([&] {
                  footer_.Set(field::file_metadata::kEncryptionAlgorithm, algorithm);
                }).status(),
                "encrypted");
  footer_ = unchanged;
  ExpectRefused(
      OpenWith([&] { chunk(1, 1).Set(field::column_chunk::kCryptoMetadata, algorithm); }).status(),
      "encrypted");
}

TEST_F(HostileParquet, ChunksInOtherFilesAreRefused) {
  ExpectRefused(OpenWith([&] {
                  chunk(0, 0).Set(field::column_chunk::kFilePath, thrift::Binary("x.parquet"));
                }).status(),
                "another file");
}

TEST_F(HostileParquet, RepeatedFieldsAreRefused) {
  const Value unchanged = footer_;
  // Parsers disagree on which of the two counts.
  ExpectRefused(
      OpenWith([&] { footer_.fields.push_back({3, thrift::Int(Type::kI64, 5)}); }).status(),
      "repeated field");
  footer_ = unchanged;
  ExpectRefused(
      OpenWith([&] { meta(2, 0).fields.push_back({9, thrift::Int(Type::kI64, 4)}); }).status(),
      "repeated field");
  footer_ = unchanged;
  ExpectRefused(OpenWith([&] {
                  footer_.fields.push_back({900, thrift::Int(Type::kI64, 5)});
                  footer_.fields.push_back({900, thrift::Int(Type::kI64, 6)});
                }).status(),
                "repeated field");
}

TEST_F(HostileParquet, FieldsOfAnotherTypeAreRefused) {
  // A generated parser passes over such a field, a lenient one reads it.
  ExpectRefused(OpenWith([&] {
                  meta(0, 0).Set(field::column_metadata::kTotalCompressedSize,
                                 thrift::Int(Type::kI32, 10));
                }).status(),
                "another type");
  ExpectRefused(OpenWith([&] {
                  meta(0, 0).SetInt(field::column_metadata::kTotalCompressedSize, Type::kI64, 10);
                  meta(0, 0).SetInt(field::column_metadata::kType, Type::kI32, 1);
                }).status(),
                "another type than its column");
}

TEST_F(HostileParquet, RowCountsThatOverflowAreRefused) {
  ExpectRefused(OpenWith([&] {
                  const int64_t most = std::numeric_limits<int64_t>::max();
                  group(0).SetInt(field::row_group::kNumRows, Type::kI64, most);
                  group(1).SetInt(field::row_group::kNumRows, Type::kI64, most);
                  group(2).SetInt(field::row_group::kNumRows, Type::kI64, 2);
                  group(3).SetInt(field::row_group::kNumRows, Type::kI64, 0);
                  footer_.SetInt(field::file_metadata::kNumRows, Type::kI64, 0);
                }).status(),
                "overflow");
}

TEST_F(HostileParquet, ChunksOutsideTheFileOrOverEachOtherAreRefused) {
  const Value unchanged = footer_;
  for (const int64_t length : {int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    footer_ = unchanged;
    ExpectRefused(OpenWith([&] {
                    meta(0, 0).SetInt(field::column_metadata::kTotalCompressedSize, Type::kI64,
                                      length);
                  }).status(),
                  "outside the file");
  }
  footer_ = unchanged;
  ExpectRefused(
      OpenWith([&] {
        for (size_t g = 0; g < 4; ++g) {
          for (size_t c = 0; c < 2; ++c) {
            meta(g, c) = unchanged.Find(4)->elements[0].Find(1)->elements[c].Find(3)[0];
            meta(g, c).SetInt(field::column_metadata::kDataPageOffset, Type::kI64, 4);
            meta(g, c).SetInt(field::column_metadata::kDictionaryPageOffset, Type::kI64, 0);
            meta(g, c).SetInt(
                field::column_metadata::kTotalCompressedSize, Type::kI64,
                static_cast<int64_t>(good_.size() - 8 - testing::FooterLength(good_)) - 4);
          }
        }
      }).status(),
      "overlap");
}

TEST_F(HostileParquet, BloomFilterLengthsThatLieAreRefused) {
  const auto most = std::numeric_limits<int32_t>::max();
  const int64_t last = static_cast<int64_t>(good_.size()) - 8 - testing::FooterLength(good_) - 1;
  for (const auto& [offset, length] :
       {std::pair<int64_t, int64_t>{4, most}, {last, 100}, {last + 10, 1}, {int64_t{1} << 62, 8}}) {
    auto file = OpenWith([&, offset = offset, length = length] {
                  meta(0, 0).SetInt(field::column_metadata::kBloomFilterOffset, Type::kI64, offset);
                  meta(0, 0).SetInt(field::column_metadata::kBloomFilterLength, Type::kI32, length);
                }).ValueOrDie();
    auto charge = Reservation::Make(budget_, 0).ValueOrDie();
    const arrow::Status status = file->ReadBloomFilter(0, 0, &charge).status();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(charge.bytes(), 0);
    file.reset();
    ExpectRefused(status, "bloom filter");
  }
}

TEST_F(HostileParquet, SchemasDeeperThanAnyStackAreRefused) {
  Value group_element;
  group_element.type = Type::kStruct;
  group_element.Set(4, thrift::Binary("g"));
  group_element.Set(5, thrift::Int(Type::kI32, 1));
  ExpectRefused(OpenWith([&] {
                  auto& elements = footer_.Find(field::file_metadata::kSchema)->elements;
                  elements.insert(elements.begin(), 200000, group_element);
                }).status(),
                "nested too deeply");
}

TEST_F(HostileParquet, CountsBeyondTheBytesTakeNoMemory) {
  // Row groups, columns: lists that claim 2^31 structs, with nothing behind.
  for (const std::string& claim : {std::string("\x39\x18\x19\xfc\xff\xff\xff\xff\x07", 9),
                                   std::string("\x49\x1c\x19\xfc\xff\xff\xff\xff\x07", 9)}) {
    testing::ResetHeapPeak();
    const int64_t before = testing::HeapBytes();
    EXPECT_FALSE(Open(testing::WithFooter(good_, claim)).ok());
    EXPECT_LT(testing::HeapPeak() - before, kMiB);
  }
}

TEST_F(HostileParquet, AWideFooterThatDoesNotFitTheBudgetIsOutOfMemory) {
  const auto small = Budget::Make("small", 20 * kKiB);
  const arrow::Status status =
      ParquetSource::Open(directory_.path() + "/base.parquet", small).status();
  EXPECT_TRUE(status.IsOutOfMemory()) << status.ToString();
  EXPECT_EQ(small->used_bytes(), 0);
}

TEST_F(HostileParquet, PageHeadersOfMillionsOfValuesTakeAWindowOnly) {
  // Unknown field 20 of a page header: a list of 4 million empty structs.
  const uint32_t count = 4000000;
  std::string pages = "PAR1";
  thrift::StructWriter header(&pages);
  header.Integer(field::page_header::kType, Type::kI32, 0);
  header.Integer(field::page_header::kUncompressedSize, Type::kI32, 1);
  header.Integer(field::page_header::kCompressedSize, Type::kI32, 1);
  header.Begin(20, Type::kList);
  thrift::AppendListHeader(Type::kStruct, count, &pages);
  pages.append(count, '\0');
  header.Stop();
  pages += "x";
  meta(0, 0).SetInt(field::column_metadata::kDataPageOffset, Type::kI64, 4);
  meta(0, 0).SetInt(field::column_metadata::kDictionaryPageOffset, Type::kI64, 0);
  meta(0, 0).SetInt(field::column_metadata::kTotalCompressedSize, Type::kI64,
                    static_cast<int64_t>(pages.size()) - 4);
  auto file = Open(testing::WithFooter(pages + good_.substr(4), footer_)).ValueOrDie();
  testing::ResetHeapPeak();
  const int64_t before = testing::HeapBytes();
  const arrow::Status status = file->ScanPages(0, 0).status();
  EXPECT_LT(testing::HeapPeak() - before, 64 * kKiB);
  file.reset();
  ExpectRefused(status, "page header");  // a data page without its own header
}

TEST_F(HostileParquet, PageSizesBeyondTheChunkAreRefused) {
  std::string bytes = good_;
  // The first page header: type, then uncompressed and compressed size as varints from byte 6.
  for (size_t at = 6; at < 12; ++at) {
    bytes = good_;
    bytes[at] = static_cast<char>(bytes[at] | 0x80);
    auto file = Open(bytes);
    ASSERT_TRUE(file.ok());
    (void)(*file)->ScanPages(0, 0);
  }
  bytes = good_;
  bytes.replace(4, 10, std::string("\x15\x04\x15\x04\x15\xfe\xff\xff\xff\x0f", 10));
  auto file = Open(bytes).ValueOrDie();
  const arrow::Status status = file->ScanPages(0, 0).status();
  file.reset();
  ExpectRefused(status, "page sizes");
}

}  // namespace
}  // namespace floodwall

#include "dataset/parquet_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <numeric>
#include <random>

#include "arrow/builder.h"
#include "arrow/io/file.h"
#include "arrow/table.h"
#include "dataset/parquet_assembler.h"
#include "gtest/gtest.h"
#include "parquet/arrow/reader.h"
#include "parquet/arrow/writer.h"
#include "parquet/file_reader.h"
#include "parquet/page_index.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

std::shared_ptr<arrow::Table> MakeTable(int64_t rows) {
  arrow::Int64Builder numbers;
  arrow::StringBuilder texts;
  for (int64_t i = 0; i < rows; ++i) {
    EXPECT_TRUE(numbers.Append(i * 7).ok());
    EXPECT_TRUE((i % 5 == 0 ? texts.AppendNull() : texts.Append("t" + std::to_string(i))).ok());
  }
  auto schema =
      arrow::schema({arrow::field("n", arrow::int64()), arrow::field("t", arrow::utf8())});
  return arrow::Table::Make(schema, {numbers.Finish().ValueOrDie(), texts.Finish().ValueOrDie()});
}

std::string WriteFile(const testing::TemporaryDirectory& directory) {
  const std::string path = directory.path() + "/base.parquet";
  auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  auto properties = parquet::WriterProperties::Builder().enable_write_page_index()->build();
  EXPECT_TRUE(parquet::arrow::WriteTable(*MakeTable(10000), arrow::default_memory_pool(), sink,
                                         3000, properties)
                  .ok());
  EXPECT_TRUE(sink->Close().ok());
  return path;
}

TEST(ParquetSource, DescribesPagesAndReleasesItsCharge) {
  testing::TemporaryDirectory directory;
  auto budget = Budget::Make("b", Budget::kUnlimited);
  auto file = ParquetSource::Open(WriteFile(directory), budget).ValueOrDie();
  EXPECT_EQ(file->metadata()->num_row_groups(), 4);
  EXPECT_GT(budget->used_bytes(), 0);
  const PageSummary pages = file->ScanPages(0, 0).ValueOrDie();
  EXPECT_GE(pages.page_count, 1);
  EXPECT_TRUE(pages.all_dictionary_encoded);
  EXPECT_TRUE(file->has_page_index(0, 0));
  std::string again;
  thrift::AppendStruct(file->footer(), &again);
  EXPECT_EQ(again, file->ReadRange(file->size_bytes() - 8 - static_cast<int64_t>(again.size()),
                                   static_cast<int64_t>(again.size()))
                       .ValueOrDie());
  file.reset();
  EXPECT_EQ(budget->used_bytes(), 0);
}

TEST(ParquetSource, SurvivesMutatedFootersAndHeaders) {
  testing::TemporaryDirectory directory;
  const std::string good = WriteFile(directory);
  const std::string bytes = directory.Contents().at("base.parquet");
  auto budget = Budget::Make("b", Budget::kUnlimited);
  std::mt19937 random(2);
  int opened = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string mutated = bytes;
    const size_t tail = std::min<size_t>(mutated.size(), 2500);
    for (int j = 0; j < 2; ++j) {
      mutated[mutated.size() - 1 - random() % tail] = static_cast<char>(random());
    }
    mutated[4 + random() % 40] = static_cast<char>(random());
    directory.Write("bad.parquet", mutated);
    auto file = ParquetSource::Open(directory.path() + "/bad.parquet", budget);
    if (!file.ok()) continue;
    ++opened;
    for (int g = 0; g < (*file)->metadata()->num_row_groups(); ++g) {
      (void)(*file)->ScanPages(g, 0);
      (void)(*file)->ReadBloomFilter(g, 0);
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_LT(opened, 1000);
}

TEST(ParquetAssembler, CopiedRowGroupsReadBackWithTheirPageIndex) {
  testing::TemporaryDirectory directory;
  auto budget = Budget::Make("b", Budget::kUnlimited);
  auto base = ParquetSource::Open(WriteFile(directory), budget).ValueOrDie();
  auto* pool = GuardedPool::Make(budget);
  const std::string path = directory.path() + "/copy.parquet";
  auto assembler =
      ParquetAssembler::Make(Storage::Posix()->CreateFile(path, 0644).ValueOrDie(), base, pool)
          .ValueOrDie();
  for (const int g : {2, 0}) ASSERT_TRUE(assembler->CopyRowGroup(g).ok());
  const AssembledFile done = assembler->Finish().ValueOrDie();
  EXPECT_EQ(done.num_rows, 6000);

  auto reader = parquet::arrow::OpenFile(arrow::io::ReadableFile::Open(path).ValueOrDie(),
                                         arrow::default_memory_pool())
                    .ValueOrDie();
  auto table = reader->ReadTable().ValueOrDie();
  auto expected = arrow::ConcatenateTables(
                      {MakeTable(10000)->Slice(6000, 3000), MakeTable(10000)->Slice(0, 3000)})
                      .ValueOrDie();
  EXPECT_TRUE(table->Equals(*expected));
  auto index = reader->parquet_reader()->GetPageIndexReader()->RowGroup(0);
  const auto offsets = index->GetOffsetIndex(0);
  const auto chunk = reader->parquet_reader()->metadata()->RowGroup(0)->ColumnChunk(0);
  ASSERT_NE(offsets, nullptr);
  EXPECT_EQ(offsets->page_locations().front().offset, chunk->data_page_offset());
  EXPECT_EQ(index->GetColumnIndex(0)->encoded_min_values().size(),
            offsets->page_locations().size());
}

}  // namespace
}  // namespace floodwall

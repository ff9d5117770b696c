#include "dataset/parquet_assembler.h"

#include <functional>

#include "dataset/parquet_thrift.h"
#include "gtest/gtest.h"
#include "parquet/arrow/reader.h"
#include "parquet/file_reader.h"
#include "parquet/page_index.h"
#include "support/sample_files.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;

class Assembling : public ::testing::Test {
 protected:
  Assembling() : path_(directory_.path() + "/copy.parquet") {
    base_ = ParquetSource::Open(testing::WriteSample(directory_.path()), budget_).ValueOrDie();
    pool_ = GuardedPool::Make(budget_);
    assembler_ =
        ParquetAssembler::Make(Storage::Posix()->CreateFile(path_, 0644).ValueOrDie(), base_, pool_)
            .ValueOrDie();
  }

  /// Writes a chunk's pages as if they had been encoded, and gives what an encoder would say.
  EncodedChunk Encode(int row_group, int column) {
    const ChunkRange range = base_->chunk_range(row_group, column);
    const int64_t at = assembler_->sink()->position();
    const std::string pages = base_->ReadRange(range.offset, range.length).ValueOrDie();
    EXPECT_TRUE(assembler_->sink()->Write(pages.data(), static_cast<int64_t>(pages.size())).ok());
    Value tree = base_->ReadChunk(row_group, column).ValueOrDie();
    Value& meta = *tree.Find(field::column_chunk::kMetaData);
    for (const int16_t id :
         {field::column_metadata::kDataPageOffset, field::column_metadata::kDictionaryPageOffset}) {
      if (meta.Find(id) != nullptr) meta.Find(id)->integer += at - range.offset;
    }
    change_(&meta);
    EncodedChunk chunk;
    thrift::AppendStruct(tree, &chunk.column_chunk);
    return chunk;
  }

  static void ExpectMisuse(const arrow::Status& status, const std::string& why) {
    EXPECT_TRUE(status.IsInvalid()) << status.ToString();
    EXPECT_NE(status.message().find(why), std::string::npos) << status.ToString();
  }

  testing::TemporaryDirectory directory_;
  const std::string path_;
  std::shared_ptr<Budget> budget_ = Budget::Make("b", Budget::kUnlimited);
  std::shared_ptr<ParquetSource> base_;
  GuardedPool* pool_ = nullptr;
  std::unique_ptr<ParquetAssembler> assembler_;
  std::function<void(Value*)> change_ = [](Value*) {};
};

TEST_F(Assembling, CopiedRowGroupsReadBackWithTheirPageIndex) {
  for (const int g : {2, 0}) ASSERT_TRUE(assembler_->CopyRowGroup(g).ok());
  const AssembledFile done = assembler_->Finish().ValueOrDie();
  EXPECT_EQ(done.num_rows, 6000);

  auto reader = parquet::arrow::OpenFile(arrow::io::ReadableFile::Open(path_).ValueOrDie(),
                                         arrow::default_memory_pool())
                    .ValueOrDie();
  auto table = reader->ReadTable().ValueOrDie();
  auto expected = arrow::ConcatenateTables({testing::MakeTable(10000)->Slice(6000, 3000),
                                            testing::MakeTable(10000)->Slice(0, 3000)})
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

TEST_F(Assembling, MixesCopiedAndEncodedChunks) {
  ASSERT_TRUE(assembler_->BeginRowGroup(1).ok());
  ASSERT_TRUE(assembler_->CopyChunk(0).ok());
  ASSERT_TRUE(assembler_->AddEncodedChunk(1, Encode(1, 1)).ok());
  ASSERT_TRUE(assembler_->EndRowGroup(3000).ok());
  const AssembledFile done = assembler_->Finish().ValueOrDie();
  EXPECT_GT(done.copied_bytes, 0);
  EXPECT_GT(done.encoded_bytes, 0);
  auto reader = parquet::arrow::OpenFile(arrow::io::ReadableFile::Open(path_).ValueOrDie(),
                                         arrow::default_memory_pool())
                    .ValueOrDie();
  EXPECT_TRUE(
      reader->ReadTable().ValueOrDie()->Equals(*testing::MakeTable(10000)->Slice(3000, 3000)));
}

TEST_F(Assembling, MemoryIsChargedAndReturned) {
  const int64_t before = budget_->used_bytes();
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ASSERT_TRUE(assembler_->CopyChunk(0).ok());
  EncodedChunk chunk = Encode(0, 1);
  chunk.bloom_filter.assign(100000, 'b');
  ASSERT_TRUE(assembler_->AddEncodedChunk(1, std::move(chunk)).ok());
  EXPECT_GE(budget_->used_bytes() - before, 100000);
  assembler_.reset();
  base_.reset();
  EXPECT_EQ(budget_->used_bytes(), 0);
}

TEST_F(Assembling, CallsOutOfOrderAreMisuse) {
  ExpectMisuse(assembler_->CopyChunk(0), "between row groups");
  ExpectMisuse(assembler_->EndRowGroup(0), "between row groups");
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ExpectMisuse(assembler_->BeginRowGroup(1), "inside a row group");
  ExpectMisuse(assembler_->Finish().status(), "inside a row group");
  ExpectMisuse(assembler_->CopyChunk(1), "where 0 comes next");
  // The file is half written: an error ends it.
  ExpectMisuse(assembler_->CopyChunk(0), "after an error");
  ExpectMisuse(assembler_->Finish().status(), "after an error");
}

TEST_F(Assembling, MissingColumnsAreMisuse) {
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ASSERT_TRUE(assembler_->CopyChunk(0).ok());
  ExpectMisuse(assembler_->EndRowGroup(3000), "after 1 of 2 columns");
}

TEST_F(Assembling, ARowGroupThatIsNotThereIsMisuse) {
  ExpectMisuse(assembler_->BeginRowGroup(4), "no row group 4 of 4");
}

TEST_F(Assembling, CopiedChunksKeepTheirRowCount) {
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ASSERT_TRUE(assembler_->CopyChunk(0).ok());
  ASSERT_TRUE(assembler_->CopyChunk(1).ok());
  ExpectMisuse(assembler_->EndRowGroup(2999), "2999 rows");
}

TEST_F(Assembling, EncodedChunksMayHaveFewerRowsIfAllAgree) {
  change_ = [](Value* meta) { meta->SetInt(field::column_metadata::kNumValues, Type::kI64, 1200); };
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ASSERT_TRUE(assembler_->AddEncodedChunk(0, Encode(0, 0)).ok());
  ASSERT_TRUE(assembler_->AddEncodedChunk(1, Encode(0, 1)).ok());
  ASSERT_TRUE(assembler_->EndRowGroup(1200).ok());
  ASSERT_TRUE(assembler_->BeginRowGroup(1).ok());
  ASSERT_TRUE(assembler_->AddEncodedChunk(0, Encode(1, 0)).ok());
  change_ = [](Value*) {};
  ExpectMisuse(assembler_->AddEncodedChunk(1, Encode(1, 1)), "1200 and 3000 rows");
}

TEST_F(Assembling, EncodedChunksLieWhereTheySay) {
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  change_ = [](Value* meta) {
    meta->Find(field::column_metadata::kTotalCompressedSize)->integer -= 1;
  };
  ExpectMisuse(assembler_->AddEncodedChunk(0, Encode(0, 0)), "says it has");
}

TEST_F(Assembling, BytesThatBelongToNoChunkAreMisuse) {
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ASSERT_TRUE(assembler_->sink()->Write("stray", 5).ok());
  ExpectMisuse(assembler_->CopyChunk(0), "belong to no chunk");
}

TEST_F(Assembling, ChunksOfAnotherColumnAreMisuse) {
  ASSERT_TRUE(assembler_->BeginRowGroup(0).ok());
  ExpectMisuse(assembler_->AddEncodedChunk(0, Encode(0, 1)), "does not fit column 0");
}

}  // namespace
}  // namespace floodwall

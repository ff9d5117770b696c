// What a raw copy keeps: everything but offsets, as Arrow's own readers of page index, bloom
// filters and checksums see it, and fields that nobody here knows.

#include "arrow/api.h"
#include "dataset/parquet_assembler.h"
#include "dataset/parquet_thrift.h"
#include "gtest/gtest.h"
#include "parquet/arrow/reader.h"
#include "parquet/bloom_filter.h"
#include "parquet/bloom_filter_reader.h"
#include "parquet/file_reader.h"
#include "parquet/page_index.h"
#include "support/sample_files.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;

std::shared_ptr<arrow::Table> WithLists(const std::shared_ptr<arrow::Table>& table) {
  auto values = std::make_shared<arrow::Int32Builder>();
  arrow::ListBuilder lists(arrow::default_memory_pool(), values);
  for (int64_t i = 0; i < table->num_rows(); ++i) {
    EXPECT_TRUE((i % 4 == 0 ? lists.AppendNull() : lists.Append()).ok());
    for (int32_t j = 0; j < i % 4; ++j) EXPECT_TRUE(values->Append(j).ok());
  }
  const auto array = lists.Finish().ValueOrDie();
  return table
      ->AddColumn(2, arrow::field("l", array->type()), std::make_shared<arrow::ChunkedArray>(array))
      .ValueOrDie();
}

class CopiedParquet : public ::testing::Test {
 protected:
  CopiedParquet() {
    parquet::WriterProperties::Builder builder;
    builder.data_pagesize(300)->write_batch_size(100)->enable_write_page_index();
    builder.enable_page_checksum()->enable_statistics();
    builder.enable_bloom_filter("t", {.ndv = 500, .fpp = 0.01, .fold = false});
    parquet::SortingColumn sorted;
    sorted.column_idx = 0;
    sorted.descending = false;
    sorted.nulls_first = false;
    builder.set_sorting_columns({sorted});
    table_ = WithLists(testing::MakeTable(3000));
    testing::WriteTable(*table_, Path("base"), 1000, builder.build());
    Value footer = Tree(testing::Footer(Bytes("base")));
    Value owner;
    owner.type = Type::kStruct;
    owner.Set(1, thrift::Binary("owner"));
    owner.Set(2, thrift::Binary("somebody"));
    Value metadata;
    metadata.type = Type::kList;
    metadata.element_type = Type::kStruct;
    metadata.elements = {owner};
    footer.Set(field::file_metadata::kKeyValueMetadata, metadata);
    directory_.Write("base.parquet", testing::WithFooter(Bytes("base"), footer));
  }

  std::string Path(const std::string& name) const {
    return directory_.path() + "/" + name + ".parquet";
  }
  std::string Bytes(const std::string& name) const {
    return directory_.Contents().at(name + ".parquet");
  }
  static Value Tree(const std::string& footer) {
    return thrift::ParseStruct(footer, nullptr, 1 << 20).ValueOrDie();
  }
  /// Copies row groups in the given order into copy.parquet.
  void Copy(const std::vector<int>& groups) {
    auto base = ParquetSource::Open(Path("base"), budget_).ValueOrDie();
    auto assembler =
        ParquetAssembler::Make(Storage::Posix()->CreateFile(Path("copy"), 0600).ValueOrDie(), base,
                               GuardedPool::Make(budget_))
            .ValueOrDie();
    for (const int g : groups) ASSERT_TRUE(assembler->CopyRowGroup(g).ok());
    const auto done = assembler->Finish();
    ASSERT_TRUE(done.ok()) << done.status().ToString();
  }

  /// The row group with every offset at 0.
  static std::string WithoutOffsets(Value group) {
    for (const int16_t id : {field::row_group::kFileOffset, field::row_group::kOrdinal}) {
      if (Value* value = group.Find(id)) value->integer = 0;
    }
    for (Value& chunk : group.Find(field::row_group::kColumns)->elements) {
      for (const int16_t id :
           {field::column_chunk::kFileOffset, field::column_chunk::kOffsetIndexOffset,
            field::column_chunk::kOffsetIndexLength, field::column_chunk::kColumnIndexOffset}) {
        if (Value* value = chunk.Find(id)) value->integer = 0;
      }
      Value* meta = chunk.Find(field::column_chunk::kMetaData);
      for (const int16_t id :
           {field::column_metadata::kDataPageOffset, field::column_metadata::kIndexPageOffset,
            field::column_metadata::kDictionaryPageOffset,
            field::column_metadata::kBloomFilterOffset}) {
        if (Value* value = meta->Find(id)) value->integer = 0;
      }
    }
    std::string out;
    thrift::AppendStruct(group, &out);
    return out;
  }

  void ExpectSameFooters(const std::vector<int>& groups) {
    Value base = Tree(testing::Footer(Bytes("base")));
    Value copy = Tree(testing::Footer(Bytes("copy")));
    const auto& base_groups = base.Find(field::file_metadata::kRowGroups)->elements;
    const auto& copy_groups = copy.Find(field::file_metadata::kRowGroups)->elements;
    ASSERT_EQ(copy_groups.size(), groups.size());
    for (size_t g = 0; g < groups.size(); ++g) {
      EXPECT_EQ(WithoutOffsets(copy_groups[g]),
                WithoutOffsets(base_groups[static_cast<size_t>(groups[g])]));
    }
    for (Value* footer : {&base, &copy}) {
      footer->Erase(field::file_metadata::kRowGroups);
      footer->Erase(field::file_metadata::kNumRows);
    }
    std::string base_rest;
    std::string copy_rest;
    thrift::AppendStruct(base, &base_rest);
    thrift::AppendStruct(copy, &copy_rest);
    EXPECT_EQ(copy_rest, base_rest);
  }

  static std::unique_ptr<parquet::ParquetFileReader> Reader(const std::string& path) {
    parquet::ReaderProperties properties;
    properties.set_page_checksum_verification(true);
    return parquet::ParquetFileReader::OpenFile(path, false, properties);
  }

  void ExpectSameIndexes(const std::vector<int>& groups) {
    auto base = Reader(Path("base"));
    auto copy = Reader(Path("copy"));
    for (size_t g = 0; g < groups.size(); ++g) {
      const int from = groups[g];
      const int to = static_cast<int>(g);
      auto base_index = base->GetPageIndexReader()->RowGroup(from);
      auto copy_index = copy->GetPageIndexReader()->RowGroup(to);
      for (int c = 0; c < base->metadata()->num_columns(); ++c) {
        const auto a = base_index->GetColumnIndex(c);
        const auto b = copy_index->GetColumnIndex(c);
        ASSERT_NE(b, nullptr);
        EXPECT_EQ(a->encoded_min_values(), b->encoded_min_values());
        EXPECT_EQ(a->encoded_max_values(), b->encoded_max_values());
        EXPECT_EQ(a->null_counts(), b->null_counts());
        EXPECT_EQ(a->null_pages(), b->null_pages());
        const auto base_pages = base_index->GetOffsetIndex(c)->page_locations();
        const auto copy_pages = copy_index->GetOffsetIndex(c)->page_locations();
        ASSERT_EQ(base_pages.size(), copy_pages.size());
        EXPECT_GT(copy_pages.size(), 1U);
        const auto base_chunk = base->metadata()->RowGroup(from)->ColumnChunk(c);
        const auto copy_chunk = copy->metadata()->RowGroup(to)->ColumnChunk(c);
        for (size_t p = 0; p < copy_pages.size(); ++p) {
          EXPECT_EQ(copy_pages[p].offset - copy_chunk->data_page_offset(),
                    base_pages[p].offset - base_chunk->data_page_offset());
          EXPECT_EQ(copy_pages[p].compressed_page_size, base_pages[p].compressed_page_size);
          EXPECT_EQ(copy_pages[p].first_row_index, base_pages[p].first_row_index);
        }
        EXPECT_EQ(base_index->GetOffsetIndex(c)->unencoded_byte_array_data_bytes(),
                  copy_index->GetOffsetIndex(c)->unencoded_byte_array_data_bytes());
      }
    }
  }

  void ExpectBloomFilters(const std::vector<int>& groups) {
    auto copy = Reader(Path("copy"));
    for (size_t g = 0; g < groups.size(); ++g) {
      auto filters = copy->GetBloomFilterReader().RowGroup(static_cast<int>(g));
      const auto filter = filters->GetColumnBloomFilter(1);
      ASSERT_NE(filter, nullptr);
      EXPECT_EQ(filters->GetColumnBloomFilter(0), nullptr);
      const auto texts = std::static_pointer_cast<arrow::StringArray>(
          table_->column(1)->Slice(groups[g] * 1000, 1000)->chunk(0));
      for (int64_t i = 0; i < texts->length(); ++i) {
        if (texts->IsNull(i)) continue;
        const parquet::ByteArray value(texts->GetView(i));
        EXPECT_TRUE(filter->FindHash(filter->Hash(&value)));
      }
      const parquet::ByteArray absent("no such text");
      EXPECT_FALSE(filter->FindHash(filter->Hash(&absent)));
    }
  }

  void ExpectSameRows(const std::vector<int>& groups) {
    parquet::ReaderProperties properties;
    properties.set_page_checksum_verification(true);
    parquet::arrow::FileReaderBuilder builder;
    ASSERT_TRUE(
        builder.Open(arrow::io::ReadableFile::Open(Path("copy")).ValueOrDie(), properties).ok());
    auto rows = builder.Build().ValueOrDie()->ReadTable().ValueOrDie();
    std::vector<std::shared_ptr<arrow::Table>> parts;
    for (const int g : groups) parts.push_back(table_->Slice(g * 1000, 1000));
    EXPECT_TRUE(rows->Equals(*arrow::ConcatenateTables(parts).ValueOrDie()));
  }

  testing::TemporaryDirectory directory_;
  std::shared_ptr<Budget> budget_ = Budget::Make("b", Budget::kUnlimited);
  std::shared_ptr<arrow::Table> table_;
};

TEST_F(CopiedParquet, KeepsEverythingButOffsets) {
  const std::vector<int> groups{2, 0, 1};
  ASSERT_NO_FATAL_FAILURE(Copy(groups));
  ExpectSameFooters(groups);
  ExpectSameIndexes(groups);
  ExpectBloomFilters(groups);
  ExpectSameRows(groups);
  auto copy = Reader(Path("copy"));
  EXPECT_EQ(copy->metadata()->RowGroup(0)->sorting_columns().size(), 1U);
  EXPECT_EQ(copy->metadata()->key_value_metadata()->Get("owner").ValueOrDie(), "somebody");
  EXPECT_NE(copy->metadata()->RowGroup(0)->ColumnChunk(1)->size_statistics(), nullptr);
  EXPECT_TRUE(Reader(Path("base"))->metadata()->created_by() == copy->metadata()->created_by());
}

TEST_F(CopiedParquet, TheWholeFileInOrderIsTheSameButForTheOrderOfIndexes) {
  ASSERT_NO_FATAL_FAILURE(Copy({0, 1, 2}));
  // Arrow writes row groups, then the same three kinds of trailers: not one byte differs in number.
  EXPECT_EQ(Bytes("copy").size(), Bytes("base").size());
  const std::string base = Bytes("base");
  const auto data = static_cast<size_t>(
      ParquetSource::Open(Path("base"), budget_).ValueOrDie()->chunk_range(2, 2).offset);
  EXPECT_EQ(Bytes("copy").substr(0, data), base.substr(0, data));
}

TEST_F(CopiedParquet, FieldsNobodyKnowsAreKept) {
  const std::string good = Bytes("base");
  Value footer = Tree(testing::Footer(good));
  Value future;
  future.type = Type::kStruct;
  future.Set(1, thrift::Binary("a field of next year"));
  future.Set(7, thrift::Int(Type::kTrue, 1));
  Value real;
  real.type = Type::kDouble;
  real.real_bits = 0x400921fb54442d18;
  future.Set(9, real);
  Value map;
  map.type = Type::kMap;
  map.key_type = Type::kByte;
  map.element_type = Type::kTrue;
  map.elements = {thrift::Int(Type::kByte, 3), thrift::Int(Type::kTrue, 2)};
  future.Set(20, map);
  for (Value& group : footer.Find(field::file_metadata::kRowGroups)->elements) {
    group.Set(99, future);
    for (Value& chunk : group.Find(field::row_group::kColumns)->elements) {
      chunk.Set(50, future);
      chunk.Find(field::column_chunk::kMetaData)->Set(32767, future);
      chunk.Find(field::column_chunk::kMetaData)->Set(77, thrift::Int(Type::kFalse, 0));
    }
  }
  footer.Set(32767, future);
  directory_.Write("base.parquet", testing::WithFooter(good, footer));
  ASSERT_NO_FATAL_FAILURE(Copy({1, 2}));
  ExpectSameFooters({1, 2});
  ExpectSameRows({1, 2});
}

TEST_F(CopiedParquet, OptionalFieldsThatOldWritersLeaveOutStayOut) {
  const std::string good = Bytes("base");
  Value footer = Tree(testing::Footer(good));
  for (Value& group : footer.Find(field::file_metadata::kRowGroups)->elements) {
    for (const int16_t id : {field::row_group::kFileOffset, field::row_group::kOrdinal,
                             field::row_group::kTotalCompressedSize}) {
      group.Erase(id);
    }
    for (Value& chunk : group.Find(field::row_group::kColumns)->elements) {
      Value* meta = chunk.Find(field::column_chunk::kMetaData);
      // Before lengths were written: the filter's own header tells.
      meta->Erase(field::column_metadata::kBloomFilterLength);
      meta->Erase(field::column_metadata::kEncodingStats);
      meta->Erase(field::column_metadata::kStatistics);
    }
  }
  footer.Erase(field::file_metadata::kColumnOrders);
  directory_.Write("base.parquet", testing::WithFooter(good, footer));
  ASSERT_NO_FATAL_FAILURE(Copy({2, 1}));
  ExpectSameIndexes({2, 1});
  ExpectBloomFilters({2, 1});
  ExpectSameRows({2, 1});
  const Value copy = Tree(testing::Footer(Bytes("copy")));
  const Value& group = copy.Find(field::file_metadata::kRowGroups)->elements.front();
  EXPECT_EQ(group.Find(field::row_group::kOrdinal), nullptr);
  EXPECT_EQ(group.Find(field::row_group::kTotalCompressedSize), nullptr);
  EXPECT_EQ(copy.Find(field::file_metadata::kColumnOrders), nullptr);
}

TEST_F(CopiedParquet, AFileWithoutRowGroupsIsCopied) {
  ASSERT_NO_FATAL_FAILURE(Copy({}));
  auto copy = Reader(Path("copy"));
  EXPECT_EQ(copy->metadata()->num_rows(), 0);
  EXPECT_EQ(copy->metadata()->num_columns(), 3);
}

}  // namespace
}  // namespace floodwall

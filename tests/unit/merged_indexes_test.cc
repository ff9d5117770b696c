// Page indexes and bloom filters of merged files, as Arrow's own readers see them: bounds hold
// every value of their page, null counts and offsets are exact, filters know every value of their
// chunk.

#include <filesystem>
#include <random>

#include "arrow/array.h"
#include "arrow/builder.h"
#include "arrow/io/file.h"
#include "arrow/table.h"
#include "dataset/compact_thrift.h"
#include "dataset/parquet_thrift.h"
#include "dataset/value_order.h"
#include "floodwall/merge.h"
#include "gtest/gtest.h"
#include "parquet/arrow/writer.h"
#include "parquet/bloom_filter.h"
#include "parquet/bloom_filter_reader.h"
#include "parquet/column_reader.h"
#include "parquet/file_reader.h"
#include "parquet/page_index.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kRows = 6000;
constexpr int64_t kGroupRows = 1500;

/// Rows with ids [first, first + rows) by `step`, other values by id and tag.
std::shared_ptr<arrow::Table> Rows(int64_t first, int64_t rows, int64_t step, int tag) {
  arrow::Int64Builder ids;
  arrow::Int32Builder numbers;
  arrow::DoubleBuilder ratios;
  arrow::StringBuilder texts;
  arrow::FixedSizeBinaryBuilder codes(arrow::fixed_size_binary(6));
  arrow::Int64Builder sparse;  // whole pages of nulls
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t id = first + i * step;
    EXPECT_TRUE(ids.Append(id).ok());
    EXPECT_TRUE((id % 7 == 3 ? numbers.AppendNull()
                             : numbers.Append(static_cast<int32_t>(id * 31 % 997 - 500 + tag)))
                    .ok());
    const double ratio = id % 50 == 0   ? std::numeric_limits<double>::quiet_NaN()
                         : id % 51 == 0 ? -0.0
                                        : static_cast<double>(id % 300) / 7 + tag;
    EXPECT_TRUE((id % 11 == 5 ? ratios.AppendNull() : ratios.Append(ratio)).ok());
    EXPECT_TRUE(
        texts.Append("t" + std::to_string(id * 7919 % 10007) + "/" + std::to_string(tag)).ok());
    EXPECT_TRUE(codes.Append(std::to_string(100000 + (id * 17 + tag) % 899999)).ok());
    EXPECT_TRUE((id / 300 % 2 == 0 ? sparse.AppendNull() : sparse.Append(id + tag)).ok());
  }
  arrow::ArrayVector columns;
  for (arrow::ArrayBuilder* builder : std::initializer_list<arrow::ArrayBuilder*>{
           &ids, &numbers, &ratios, &texts, &codes, &sparse}) {
    columns.push_back(builder->Finish().ValueOrDie());
  }
  const auto schema = arrow::schema(
      {arrow::field("id", arrow::int64(), false), arrow::field("number", arrow::int32()),
       arrow::field("ratio", arrow::float64()), arrow::field("text", arrow::utf8()),
       arrow::field("code", arrow::fixed_size_binary(6)), arrow::field("sparse", arrow::int64())});
  return arrow::Table::Make(schema, columns);
}

struct Layout {
  bool dictionary;
  parquet::ParquetDataPageVersion pages;
  arrow::Compression::type codec;
};

void Write(const arrow::Table& table, const std::string& path, const Layout& layout) {
  parquet::WriterProperties::Builder properties;
  properties.enable_write_page_index()
      ->data_page_version(layout.pages)
      ->compression(layout.codec)
      ->max_rows_per_page(100)
      ->max_row_group_length(kGroupRows);
  layout.dictionary ? properties.enable_dictionary() : properties.disable_dictionary();
  for (const auto& field : table.schema()->fields()) {
    properties.enable_bloom_filter(field->name(), {.ndv = kGroupRows, .fpp = 0.02});
  }
  const auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  ASSERT_TRUE(parquet::arrow::WriteTable(table, arrow::default_memory_pool(), sink, kGroupRows,
                                         properties.build())
                  .ok());
  ASSERT_TRUE(sink->Close().ok());
}

/// The values of a chunk as Parquet's plain bytes, and their hashes; nothing for nulls.
struct Values {
  std::vector<std::optional<std::string>> plain;
  std::vector<uint64_t> hashes;
};

template <typename Physical>
void ReadValues(parquet::ColumnReader* reader, const parquet::ColumnDescriptor& column,
                const parquet::BloomFilter* filter, Values* out) {
  auto* typed = static_cast<parquet::TypedColumnReader<Physical>*>(reader);
  while (typed->HasNext()) {
    int16_t level = 0;
    typename Physical::c_type value{};
    int64_t count = 0;
    ASSERT_EQ(typed->ReadBatch(1, column.max_definition_level() > 0 ? &level : nullptr, nullptr,
                               &value, &count),
              1);
    if (count == 0) {
      out->plain.emplace_back();
      continue;
    }
    if constexpr (std::is_same_v<Physical, parquet::ByteArrayType>) {
      out->plain.emplace_back(std::string(reinterpret_cast<const char*>(value.ptr), value.len));
      if (filter != nullptr) out->hashes.push_back(filter->Hash(&value));
    } else if constexpr (std::is_same_v<Physical, parquet::FLBAType>) {
      const auto length = static_cast<uint32_t>(column.type_length());
      out->plain.emplace_back(std::string(reinterpret_cast<const char*>(value.ptr), length));
      if (filter != nullptr) out->hashes.push_back(filter->Hash(&value, length));
    } else {
      out->plain.emplace_back(std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
      if (filter != nullptr) out->hashes.push_back(filter->Hash(value));
    }
  }
}

class FileCheck {
 public:
  FileCheck(const testing::TemporaryDirectory& directory, const std::string& name)
      : bytes_(directory.Contents().at(name)),
        file_(parquet::ParquetFileReader::OpenFile(directory.path() + "/" + name)) {}

  void Run() {
    for (int g = 0; g < file_->metadata()->num_row_groups(); ++g) {
      for (int c = 0; c < file_->metadata()->num_columns(); ++c) {
        SCOPED_TRACE("row group " + std::to_string(g) + ", column " + std::to_string(c));
        Check(g, c);
      }
    }
  }

 private:
  void Check(int group, int c) {
    const auto& column = *file_->metadata()->schema()->Column(c);
    const auto filter = file_->GetBloomFilterReader().RowGroup(group)->GetColumnBloomFilter(c);
    ASSERT_NE(filter, nullptr);
    Values values;
    const auto reader = file_->RowGroup(group)->Column(c);
    switch (column.physical_type()) {
      case parquet::Type::INT32:
        ReadValues<parquet::Int32Type>(reader.get(), column, filter.get(), &values);
        break;
      case parquet::Type::INT64:
        ReadValues<parquet::Int64Type>(reader.get(), column, filter.get(), &values);
        break;
      case parquet::Type::DOUBLE:
        ReadValues<parquet::DoubleType>(reader.get(), column, filter.get(), &values);
        break;
      case parquet::Type::BYTE_ARRAY:
        ReadValues<parquet::ByteArrayType>(reader.get(), column, filter.get(), &values);
        break;
      case parquet::Type::FIXED_LEN_BYTE_ARRAY:
        ReadValues<parquet::FLBAType>(reader.get(), column, filter.get(), &values);
        break;
      default: FAIL() << "a type without a case";
    }
    ASSERT_EQ(std::ssize(values.plain), file_->metadata()->RowGroup(group)->num_rows());
    for (const uint64_t hash : values.hashes) ASSERT_TRUE(filter->FindHash(hash));
    // Values that are nowhere are mostly not found.
    std::mt19937_64 random(1);
    int found = 0;
    for (int i = 0; i < 1000; ++i) found += filter->FindHash(random()) ? 1 : 0;
    EXPECT_LT(found, 100);
    CheckPages(group, c, values);
  }

  void CheckPages(int group, int c, const Values& values) {
    const auto& column = *file_->metadata()->schema()->Column(c);
    const auto chunk = file_->metadata()->RowGroup(group)->ColumnChunk(c);
    const auto index = file_->GetPageIndexReader()->RowGroup(group);
    const auto offsets = index->GetOffsetIndex(c);
    const auto& pages = offsets->page_locations();
    const auto bounds = index->GetColumnIndex(c);
    ASSERT_EQ(bounds->null_pages().size(), pages.size());
    ASSERT_TRUE(bounds->has_null_counts());
    const ValueOrder order(&column);
    int64_t row = 0;
    int64_t position = chunk->data_page_offset();
    for (size_t p = 0; p < pages.size(); ++p) {
      SCOPED_TRACE("page " + std::to_string(p));
      ASSERT_EQ(pages[p].first_row_index, row);
      ASSERT_EQ(pages[p].offset, position);
      position += pages[p].compressed_page_size;
      size_t header_bytes = 0;
      const auto header = thrift::ParseStruct(
          std::string_view(bytes_).substr(static_cast<size_t>(pages[p].offset)), &header_bytes);
      ASSERT_TRUE(header.ok());
      namespace field = parquet_field;
      ASSERT_EQ(static_cast<int64_t>(header_bytes) +
                    header->GetInt(field::page_header::kCompressedSize, -1),
                pages[p].compressed_page_size);
      const thrift::Value* data = header->Find(field::page_header::kDataPage);
      if (data == nullptr) data = header->Find(field::page_header::kDataPageV2);
      ASSERT_NE(data, nullptr);
      const int64_t end = row + data->GetInt(field::kPageNumValues, -1);
      ASSERT_LE(end, std::ssize(values.plain));
      int64_t nulls = 0;
      for (; row < end; ++row) {
        const auto& value = values.plain[static_cast<size_t>(row)];
        nulls += value ? 0 : 1;
        if (!value || !order.Bounds(*value)) continue;  // a NaN has no place among bounds
        ASSERT_FALSE(bounds->null_pages()[p]);
        ASSERT_FALSE(order.Less(*value, bounds->encoded_min_values()[p]));
        ASSERT_FALSE(order.Less(bounds->encoded_max_values()[p], *value));
      }
      ASSERT_EQ(bounds->null_counts()[p], nulls);
      ASSERT_EQ(bounds->null_pages()[p], nulls == data->GetInt(field::kPageNumValues, -1));
    }
    ASSERT_EQ(row, std::ssize(values.plain));
    const int64_t begin =
        chunk->has_dictionary_page() ? chunk->dictionary_page_offset() : chunk->data_page_offset();
    EXPECT_EQ(position, begin + chunk->total_compressed_size());
  }

  const std::string bytes_;
  std::unique_ptr<parquet::ParquetFileReader> file_;
};

class MergedIndexes : public ::testing::TestWithParam<Layout> {};

TEST_P(MergedIndexes, AreTrueOfEveryPage) {
  testing::TemporaryDirectory directory;
  const std::string root = directory.path() + "/data";
  std::filesystem::create_directory(root);
  Write(*Rows(0, kRows, 1, 0), root + "/a.parquet", GetParam());
  Write(*Rows(kRows, kRows, 1, 0), root + "/b.parquet", GetParam());
  const auto merge = [&](const std::shared_ptr<arrow::Table>& rows, MergeStrategy strategy) {
    MergeOptions options;
    options.strategy = strategy;
    options.key_columns = {"id"};
    const auto result = Merge(MergeSource::FromTable(rows), root, options);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
  };
  const auto check = [&] {
    for (const char* name : {"data/a.parquet", "data/b.parquet"}) {
      SCOPED_TRACE(name);
      FileCheck(directory, name).Run();
    }
  };
  check();
  merge(Rows(1600, 200, 5, 1), MergeStrategy::kUpdate);  // one row group is patched, others spliced
  check();
  merge(Rows(kRows + 100, 900, 3, 0), MergeStrategy::kDelete);
  check();
  merge(Rows(20, 3800, 3, 2), MergeStrategy::kUpdate);
  check();
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, MergedIndexes,
    ::testing::Values(Layout{true, parquet::ParquetDataPageVersion::V1, arrow::Compression::SNAPPY},
                      Layout{true, parquet::ParquetDataPageVersion::V2, arrow::Compression::ZSTD},
                      Layout{false, parquet::ParquetDataPageVersion::V1, arrow::Compression::GZIP},
                      Layout{false, parquet::ParquetDataPageVersion::V2,
                             arrow::Compression::UNCOMPRESSED}));

}  // namespace
}  // namespace floodwall

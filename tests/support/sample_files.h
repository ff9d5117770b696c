#pragma once

#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "arrow/builder.h"
#include "arrow/io/file.h"
#include "arrow/table.h"
#include "dataset/compact_thrift.h"
#include "gtest/gtest.h"
#include "parquet/arrow/writer.h"
#include "parquet/properties.h"

namespace floodwall::testing {

/// Numbers 0, 7, 14 ... and texts with every fifth one null.
inline std::shared_ptr<arrow::Table> MakeTable(int64_t rows) {
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

inline void WriteTable(const arrow::Table& table, const std::string& path, int64_t group_rows,
                       const std::shared_ptr<parquet::WriterProperties>& properties) {
  auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  ASSERT_TRUE(
      parquet::arrow::WriteTable(table, arrow::default_memory_pool(), sink, group_rows, properties)
          .ok());
  ASSERT_TRUE(sink->Close().ok());
}

/// 10,000 rows of MakeTable in row groups of 3,000, with a page index.
inline std::string WriteSample(const std::string& directory) {
  const std::string path = directory + "/base.parquet";
  WriteTable(*MakeTable(10000), path, 3000,
             parquet::WriterProperties::Builder().enable_write_page_index()->build());
  return path;
}

inline uint32_t FooterLength(const std::string& file) {
  uint32_t length = 0;
  std::memcpy(&length, file.data() + file.size() - 8, 4);
  return length;
}

inline std::string Footer(const std::string& file) {
  return file.substr(file.size() - 8 - FooterLength(file), FooterLength(file));
}

/// The file with another footer.
inline std::string WithFooter(const std::string& file, const std::string& footer) {
  std::string out = file.substr(0, file.size() - 8 - FooterLength(file)) + footer;
  const auto length = static_cast<uint32_t>(footer.size());
  out.append(reinterpret_cast<const char*>(&length), 4);
  return out + "PAR1";
}

inline std::string WithFooter(const std::string& file, const thrift::Value& footer) {
  std::string bytes;
  thrift::AppendStruct(footer, &bytes);
  return WithFooter(file, bytes);
}

}  // namespace floodwall::testing

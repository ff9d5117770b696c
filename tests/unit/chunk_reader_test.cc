#include "floodwall/chunk_reader.h"

#include "arrow/array.h"
#include "arrow/builder.h"
#include "arrow/io/file.h"
#include "arrow/record_batch.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "parquet/arrow/writer.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

/// Rows first .. first + rows of columns n (int64 or int32) and, when asked, t.
std::shared_ptr<arrow::Table> MakeTable(int64_t first, int64_t rows, bool narrow, bool text) {
  arrow::Int64Builder wide;
  arrow::Int32Builder small;
  arrow::StringBuilder texts;
  for (int64_t i = first; i < first + rows; ++i) {
    EXPECT_TRUE(wide.Append(i).ok());
    EXPECT_TRUE(small.Append(static_cast<int32_t>(i)).ok());
    EXPECT_TRUE(texts.Append("some text of row " + std::to_string(i)).ok());
  }
  auto numbers = narrow ? small.Finish().ValueOrDie() : wide.Finish().ValueOrDie();
  arrow::FieldVector fields{arrow::field("n", numbers->type())};
  arrow::ArrayVector arrays{numbers};
  if (text) {
    fields.push_back(arrow::field("t", arrow::utf8()));
    arrays.push_back(texts.Finish().ValueOrDie());
  }
  return arrow::Table::Make(arrow::schema(fields), arrays);
}

std::string Write(const testing::TemporaryDirectory& directory, const std::string& name,
                  const arrow::Table& table, int64_t group_rows) {
  const std::string path = directory.path() + "/" + name;
  auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  EXPECT_TRUE(
      parquet::arrow::WriteTable(table, arrow::default_memory_pool(), sink, group_rows).ok());
  EXPECT_TRUE(sink->Close().ok());
  return path;
}

std::unique_ptr<ChunkReader> Open(std::vector<ChunkFile> files, GuardedPool* pool,
                                  std::shared_ptr<arrow::Schema> schema = nullptr,
                                  int64_t piece_rows = 100) {
  ChunkReaderOptions options;
  options.schema = std::move(schema);
  options.pool = pool;
  options.piece_rows = piece_rows;
  return ChunkReader::Make(std::move(files), options).ValueOrDie();
}

int64_t NumberAt(const arrow::Table& table, int64_t row) {
  auto scalar = table.GetColumnByName("n")->GetScalar(row).ValueOrDie();
  return std::static_pointer_cast<arrow::Int64Scalar>(scalar)->value;
}

/// Checks that the next chunks hold `total` rows numbered from 0, `rows` each.
void ExpectNumbered(ChunkReader* reader, int64_t rows, int64_t total) {
  int64_t seen = 0;
  while (auto table = reader->Next(rows).ValueOrDie()) {
    ASSERT_TRUE(table->ValidateFull().ok());
    ASSERT_EQ(table->num_rows(), std::min(rows, total - seen));
    for (int64_t i = 0; i < table->num_rows(); ++i) ASSERT_EQ(NumberAt(*table, i), seen + i);
    seen += table->num_rows();
  }
  EXPECT_EQ(seen, total);
}

TEST(ChunkReader, GivesExactSizesAcrossRowGroupsAndFiles) {
  testing::TemporaryDirectory directory;
  std::vector<ChunkFile> files{{Write(directory, "a", *MakeTable(0, 1000, false, true), 300)},
                               {Write(directory, "b", *MakeTable(1000, 501, false, true), 7)}};
  auto* pool = GuardedPool::Make(Budget::Make("chunks", Budget::kUnlimited));
  for (const int64_t rows : {1, 99, 100, 256, 5000}) {
    auto reader = Open(files, pool);
    EXPECT_EQ(reader->CountRows().ValueOrDie(), 1501);
    ExpectNumbered(reader.get(), rows, 1501);
  }
  EXPECT_EQ(pool->budget()->used_bytes(), 0);
}

TEST(ChunkReader, FollowsTheSchemaAskedFor) {
  testing::TemporaryDirectory directory;
  auto part = arrow::RecordBatch::Make(
      arrow::schema({arrow::field("p", arrow::utf8())}), 1,
      {arrow::MakeArrayFromScalar(arrow::StringScalar("north"), 1).ValueOrDie()});
  std::vector<ChunkFile> files{
      {Write(directory, "a", *MakeTable(0, 250, true, false), 100), {}, true, part},
      {Write(directory, "b", *MakeTable(250, 250, false, true), 100), {}, true, part}};
  auto schema = arrow::schema({arrow::field("t", arrow::utf8()), arrow::field("n", arrow::int64()),
                               arrow::field("p", arrow::utf8())});
  auto* pool = GuardedPool::Make(Budget::Make("chunks", Budget::kUnlimited));
  auto reader = Open(files, pool, schema);
  auto table = reader->Next(400).ValueOrDie();
  ASSERT_TRUE(table->schema()->Equals(*schema));
  EXPECT_EQ(table->column(0)->null_count(), 250);  // file a has no t
  EXPECT_EQ(NumberAt(*table, 399), 399);
  EXPECT_EQ(table->column(2)->GetScalar(399).ValueOrDie()->ToString(), "north");
}

TEST(ChunkReader, ReadsOnlyTheRowGroupsNamed) {
  testing::TemporaryDirectory directory;
  const std::string path = Write(directory, "a", *MakeTable(0, 400, false, false), 100);
  auto* pool = GuardedPool::Make(Budget::Make("chunks", Budget::kUnlimited));
  auto reader = Open({{path, {2, 0}, false, nullptr}}, pool);
  EXPECT_EQ(reader->CountRows().ValueOrDie(), 200);
  auto table = reader->Next(1000).ValueOrDie();
  ASSERT_EQ(table->num_rows(), 200);
  EXPECT_EQ(NumberAt(*table, 0), 200);
  EXPECT_EQ(NumberAt(*table, 100), 0);
  auto wrong = Open({{path, {4}, false, nullptr}}, pool, arrow::schema({}));
  EXPECT_TRUE(wrong->Next(1).status().IsInvalid());
}

TEST(ChunkReader, LosesNoRowToADenial) {
  testing::TemporaryDirectory directory;
  // Many small groups and some large ones, so that a run opened anew spans others than before.
  std::vector<ChunkFile> files{{Write(directory, "a", *MakeTable(0, 3000, false, true), 40)},
                               {Write(directory, "b", *MakeTable(3000, 9000, false, true), 4000)}};
  auto budget = Budget::Make("chunks", 4 << 20);
  auto* pool = GuardedPool::Make(budget);
  auto reader = Open(files, pool, MakeTable(0, 0, false, true)->schema(), 1000);
  int64_t seen = 0;
  int denials = 0;
  // All but a few bytes are taken now and then: the reader is refused at ever other places.
  for (int64_t hold = 0;; hold = (hold + 61) % 997) {
    auto held = Reservation::Make(budget, budget->available_bytes() - hold * 50).ValueOrDie();
    auto table = reader->Next(700);
    if (!table.ok()) {
      ASSERT_TRUE(table.status().IsOutOfMemory()) << table.status().ToString();
      ASSERT_NE(ErrorDetail::From(table.status()), nullptr);
      ++denials;
      ASSERT_TRUE(held.Resize(0).ok());
      reader->set_piece_rows(denials % 2 == 0 ? 1000 : 90);
      table = reader->Next(700);
    }
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    if (!*table) break;
    for (int64_t i = 0; i < (*table)->num_rows(); ++i) ASSERT_EQ(NumberAt(**table, i), seen + i);
    seen += (*table)->num_rows();
  }
  EXPECT_EQ(seen, 12000);
  EXPECT_GT(denials, 3);
}

TEST(ChunkReader, RefusesWhatIsNoParquetFile) {
  testing::TemporaryDirectory directory;
  directory.Write("a", "certainly not Parquet");
  auto* pool = GuardedPool::Make(Budget::Make("chunks", Budget::kUnlimited));
  auto reader = Open({{directory.path() + "/a"}}, pool, arrow::schema({}));
  const arrow::Status status = reader->Next(1).status();
  ASSERT_NE(ErrorDetail::From(status), nullptr);
  EXPECT_EQ(ErrorDetail::From(status)->kind, ErrorKind::kUnsupportedFile);
  auto missing = Open({{directory.path() + "/none"}}, pool, arrow::schema({}));
  EXPECT_TRUE(missing->Next(1).status().IsIOError());
  EXPECT_TRUE(missing->Next(0).status().IsInvalid());
}

}  // namespace
}  // namespace floodwall

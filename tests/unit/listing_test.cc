#include "dataset/listing.h"

#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

TEST(ListDataset, FindsParquetFilesSortedAndSkipsHiddenOnes) {
  testing::TemporaryDirectory directory;
  for (const char* name : {"b.parquet", "a.parquet", "sub/c.parquet", ".hidden/x.parquet",
                           "_floodwall/y.parquet", "_z.parquet", "notes.txt", ".parquet"}) {
    directory.Write(name, "x");
  }
  std::filesystem::create_directory_symlink(directory.path(), directory.path() + "/sub/loop");
  const auto listing = ListDataset(directory.path() + "/").ValueOrDie();
  std::vector<std::string> names;
  for (const auto& file : listing.files) names.push_back(file.relative_path);
  EXPECT_EQ(names, (std::vector<std::string>{"a.parquet", "b.parquet", "sub/c.parquet"}));
  EXPECT_TRUE(listing.exists);
  EXPECT_EQ(listing.files[0].version.size_bytes, 1);
}

TEST(ListDataset, TakesOneFileAndAMissingPath) {
  testing::TemporaryDirectory directory;
  directory.Write("one.parquet", "x");
  const auto one = ListDataset(directory.path() + "/one.parquet").ValueOrDie();
  EXPECT_TRUE(one.single_file);
  EXPECT_EQ(one.root, directory.path());
  EXPECT_FALSE(ListDataset(directory.path() + "/missing").ValueOrDie().exists);
  EXPECT_FALSE(ListDataset("").ok());
  directory.Write("text.csv", "x");
  EXPECT_FALSE(ListDataset(directory.path() + "/text.csv").ok());
}

}  // namespace
}  // namespace floodwall

#include "support/merge_scenarios.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "arrow/api.h"
#include "arrow/io/file.h"
#include "dataset/listing.h"
#include "dataset/tree.h"
#include "gtest/gtest.h"
#include "parquet/arrow/reader.h"
#include "parquet/arrow/writer.h"

namespace floodwall::testing {
namespace {

using Rows = std::vector<int64_t>;

Rows Range(int64_t first, int64_t end) {
  Rows out;
  for (int64_t i = first; i < end; ++i) out.push_back(i);
  return out;
}

/// Columns id and text; day as well when it is not 0.
std::shared_ptr<arrow::Table> MakeRows(const Rows& ids, const std::string& text,
                                       const std::function<int64_t(int64_t)>& day = {}) {
  arrow::Int64Builder keys;
  arrow::Int64Builder days;
  arrow::StringBuilder texts;
  for (const int64_t id : ids) {
    EXPECT_TRUE(keys.Append(id).ok());
    EXPECT_TRUE(texts.Append(text + std::to_string(id)).ok());
    EXPECT_TRUE(days.Append(day ? day(id) : 0).ok());
  }
  arrow::FieldVector fields{arrow::field("id", arrow::int64()),
                            arrow::field("text", arrow::utf8())};
  arrow::ArrayVector arrays{keys.Finish().ValueOrDie(), texts.Finish().ValueOrDie()};
  if (day) {
    fields.push_back(arrow::field("day", arrow::int64()));
    arrays.push_back(days.Finish().ValueOrDie());
  }
  return arrow::Table::Make(arrow::schema(fields), arrays);
}

void WriteFile(const std::string& path, const Rows& ids) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  ASSERT_TRUE(
      parquet::arrow::WriteTable(*MakeRows(ids, "old "), arrow::default_memory_pool(), sink, 20)
          .ok());
  ASSERT_TRUE(sink->Close().ok());
}

void TwoFiles(const std::string& path) {
  WriteFile(path + "/a.parquet", Range(0, 40));
  WriteFile(path + "/b.parquet", Range(40, 80));
}

void TwoDays(const std::string& path) {
  WriteFile(path + "/day=1/a.parquet", Range(0, 40));
  WriteFile(path + "/day=2/b.parquet", Range(40, 80));
}

void Repeated(const std::string& path) {
  WriteFile(path + "/a.parquet", {1, 2, 2, 3, 4});
  WriteFile(path + "/b.parquet", {1, 2, 5});
  WriteFile(path + "/c.parquet", {3, 3});
}

MergeOptions OptionsOf(MergeStrategy strategy, Snapshot snapshot) {
  MergeOptions options;
  options.strategy = strategy;
  options.snapshot = snapshot;
  options.key_columns = {"id"};
  options.max_memory_bytes = 64 << 20;
  options.threads = 1;
  options.idempotency_token = kScenarioToken;
  return options;
}

auto Merging(MergeStrategy strategy, Snapshot snapshot, std::shared_ptr<arrow::Table> source,
             std::optional<std::vector<std::string>> partition_columns = {}) {
  MergeOptions options = OptionsOf(strategy, snapshot);
  options.partition_columns = std::move(partition_columns);
  if (strategy == MergeStrategy::kDeduplicate) {
    options.target_duplicates = TargetDuplicates::kCollapse;
  }
  return [options, source](const MergeCalls& calls, const std::string& path) {
    return MergeWith(calls, MergeSource::FromTable(source), path, options);
  };
}

std::vector<MergeScenario> Make() {
  const auto upsert = [] {
    Rows ids = Range(35, 38);
    for (const int64_t id : {70, 100, 101}) ids.push_back(id);
    return MakeRows(ids, "new ");
  };
  // Changed, moved to a known day, moved to a new one, and new on either.
  const auto days = [] {
    return MakeRows({1, 2, 3, 41, 100, 101}, "new ", [](int64_t id) {
      const int64_t day[] = {0, 1, 2, 3};
      return id < 4 ? day[id] : id == 101 ? int64_t{4} : int64_t{2};
    });
  };
  const auto fresh = [](int64_t rows) {
    return MakeRows(Range(0, rows), "new ", [](int64_t id) { return id % 2; });
  };
  std::vector<MergeScenario> out;
  for (const Snapshot snapshot : {Snapshot::kInPlace, Snapshot::kExchange}) {
    const bool exchange = snapshot == Snapshot::kExchange;
    const auto add = [&](const char* name, const char* exchanged, const char* dataset, auto prepare,
                         auto run) {
      out.push_back({exchange ? exchanged : name, dataset, prepare, run});
    };
    add("Upsert", "UpsertExchange", "set", TwoFiles,
        Merging(MergeStrategy::kUpsert, snapshot, upsert()));
    add("Insert", "InsertExchange", "set", TwoFiles,
        Merging(MergeStrategy::kInsert, snapshot, upsert()));
    add("Delete", "DeleteExchange", "set", TwoFiles,
        Merging(MergeStrategy::kDelete, snapshot, MakeRows(Range(30, 80), "")));
    add("Partitions", "PartitionsExchange", "set", TwoDays,
        Merging(MergeStrategy::kUpsert, snapshot, days()));
    add("Collapse", "CollapseExchange", "set", Repeated,
        Merging(MergeStrategy::kDeduplicate, snapshot, MakeRows({2, 3, 9}, "new ")));
    add("Deduplicate", "DeduplicateExchange", "set", Repeated,
        [snapshot](const MergeCalls& calls, const std::string& path) {
          return DeduplicateWith(calls, path, OptionsOf(MergeStrategy::kDeduplicate, snapshot));
        });
    add(
        "Missing", "MissingExchange", "deep/below/set", [](const std::string&) {},
        Merging(MergeStrategy::kUpsert, snapshot, fresh(20), std::vector<std::string>{"day"}));
    add(
        "Empty", "EmptyExchange", "set",
        [](const std::string& path) { std::filesystem::create_directory(path); },
        Merging(MergeStrategy::kInsert, snapshot, fresh(20)));
  }
  out.push_back({"SingleFile", "set/a.parquet",
                 [](const std::string& path) { WriteFile(path, Range(0, 40)); },
                 Merging(MergeStrategy::kDelete, Snapshot::kInPlace, MakeRows(Range(5, 9), ""))});
  return out;
}

}  // namespace

const std::vector<MergeScenario>& MergeScenarios() {
  static const std::vector<MergeScenario> scenarios = Make();
  return scenarios;
}

std::string RootOf(const std::string& path) {
  return path.ends_with(".parquet") ? ParentOf(path) : path;
}

std::multiset<std::string> RowsOf(const std::string& path) {
  std::multiset<std::string> out;
  const DatasetListing listing = ListDataset(path).ValueOrDie();
  for (const DatasetFile& file : listing.files) {
    auto input =
        arrow::io::ReadableFile::Open(listing.AbsolutePath(file.relative_path)).ValueOrDie();
    auto reader = parquet::arrow::OpenFile(input, arrow::default_memory_pool()).ValueOrDie();
    const auto table = reader->ReadTable().ValueOrDie();
    const std::string partition = std::filesystem::path(file.relative_path).parent_path().string();
    for (int64_t row = 0; row < table->num_rows(); ++row) {
      std::string text = partition;
      for (int column = 0; column < table->num_columns(); ++column) {
        text += "|" + table->column(column)->GetScalar(row).ValueOrDie()->ToString();
      }
      out.insert(std::move(text));
    }
  }
  return out;
}

Files GlobParquet(const std::string& top) {
  Files out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".parquet") continue;
    std::stringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    out.insert(text.str());
  }
  return out;
}

Files Leftovers(const std::string& top, const std::string& root) {
  Files out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
    const std::string path = entry.path().string();
    const bool above = (root + "/").rfind(path + "/", 0) == 0;
    const std::string relative = above ? "" : path.substr(std::min(path.size(), root.size() + 1));
    const bool data = path.rfind(root + "/", 0) == 0 && relative[0] != '_' && relative[0] != '.' &&
                      (entry.is_directory() || entry.path().extension() == ".parquet");
    const bool kept =
        relative == "_floodwall" || relative == "_floodwall/lock" ||
        relative == "_floodwall/results" ||
        (relative.rfind("_floodwall/results/", 0) == 0 && entry.path().extension() != ".new");
    if (!above && !data && !kept) out.insert(path);
  }
  return out;
}

void UseMemoryForDirectories() {
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
}

}  // namespace floodwall::testing

// Upserts Parquet files into a dataset within a memory limit:
//   upsert DATASET SOURCE KEY[,KEY] [LIMIT]
#include <floodwall/bytes.h>
#include <floodwall/merge.h>

#include <iostream>
#include <sstream>

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: upsert DATASET SOURCE KEY[,KEY] [LIMIT]\n";
    return 2;
  }
  floodwall::MergeOptions options;
  options.strategy = floodwall::MergeStrategy::kUpsert;
  std::stringstream keys(argv[3]);
  for (std::string key; std::getline(keys, key, ',');) options.key_columns.push_back(key);
  if (argc > 4) {
    const auto limit = floodwall::ParseByteSize(argv[4]);
    if (!limit.ok()) {
      std::cerr << limit.status().message() << "\n";
      return 2;
    }
    options.max_memory_bytes = *limit;
  }
  const auto result =
      floodwall::Merge(floodwall::MergeSource::FromParquet({argv[2]}), argv[1], options);
  if (!result.ok()) {
    std::cerr << result.status().message() << "\n";
    return 1;
  }
  std::cout << result->inserted << " inserted, " << result->updated << " updated, at most "
            << floodwall::FormatBytes(result->peak_memory_bytes) << "\n";
  return 0;
}

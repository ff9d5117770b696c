#pragma once

/// Small merges of every kind of change, for tests that stop them anywhere.
///
/// Threading: one at a time. Lifetime: scenarios live for ever, results are values.

#include <functional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "floodwall/merge.h"
#include "merge/merge_with.h"

namespace floodwall::testing {

struct MergeScenario {
  const char* name;
  /// Below the directory that is watched.
  std::string dataset;
  /// Makes the target there.
  std::function<void(const std::string& path)> prepare;
  std::function<arrow::Result<MergeResult>(const MergeCalls&, const std::string& path)> run;
};

inline void PrintTo(const MergeScenario& scenario, std::ostream* out) { *out << scenario.name; }

/// The token that every one of them has.
inline constexpr char kScenarioToken[] = "job 7";

const std::vector<MergeScenario>& MergeScenarios();

/// The directory that such a path names, or that its file is in.
std::string RootOf(const std::string& path);

/// Every row of the dataset with its partition, as text, whatever file it is in.
std::multiset<std::string> RowsOf(const std::string& path);

using Files = std::set<std::string>;

/// Contents of every file that the pattern `**/*.parquet` finds, hidden directories included.
Files GlobParquet(const std::string& top);

/// What is below `top` and neither belongs to the data nor is meant to stay.
Files Leftovers(const std::string& top, const std::string& root);

/// Temporary directories are made in memory from now on, where there is such a place: for tests
/// that make thousands.
void UseMemoryForDirectories();

}  // namespace floodwall::testing

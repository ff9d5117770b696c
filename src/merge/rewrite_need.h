#pragma once

/// What rewriting a file takes at most, by its page headers: checked against the budget before the
/// first file is staged.
///
/// Threading: pure. Errors: kUnsupportedFile for pages that cannot be read. Units: bytes.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "floodwall/bytes.h"
#include "merge/field_plan.h"
#include "merge/row_source.h"

namespace floodwall {

/// What the touched files need together.
struct RewriteNeed {
  /// Source rows of a window of the target take at least so much when they come from spill files.
  static constexpr int64_t kLeastShare = 2 * kMiB;

  std::vector<size_t> touched;
  std::vector<std::string> columns;  ///< of the source, that some file takes
  int64_t task = 0;                  ///< memory of one thread beside source rows
  int64_t group_rows = 0;            ///< most rows that one row group replaces
  int64_t all_rows = 0;              ///< rows to replace
  int64_t loaded_bytes = 0;          ///< those while they are loaded; 0: in memory already
  int64_t total_bytes = 0;
  int64_t total_rows = 0;

  /// Memory beside `task` where the matches come from spill files: of one row group the matches
  /// are in memory, and of its rows at least a window.
  int64_t SpilledMatches(bool resident) const;
};

/// Whose rows are counted.
enum class Assume {
  kMatched,     ///< those that matching found
  kEverything,  ///< every row of the target, as far as the source has rows: an upper bound
};

/// Reads the page headers of every file that is touched.
arrow::Result<RewriteNeed> SumUpNeed(const Target& target, RowSource* source, RunContext* context,
                                     Assume assume = Assume::kMatched);

/// A limit under which the whole merge works, whatever its keys match: what a refusal names before
/// that is known. `held`: bytes in use before matching begins.
arrow::Result<int64_t> WholeNeed(const Target& target, RowSource* source, int64_t held,
                                 RunContext* context);

/// Memory of one thread that replaces every row of any one row group of the file.
arrow::Result<int64_t> WholeRowGroupNeed(const std::shared_ptr<ParquetSource>& file,
                                         GuardedPool* pool);

}  // namespace floodwall

#pragma once

/// What rewriting a file takes at most, by its page headers: checked against the budget before the
/// first file is staged.
///
/// Threading: pure. Errors: kUnsupportedFile for pages that cannot be read. Units: bytes.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "merge/field_plan.h"

namespace floodwall {

/// What the touched files need together.
struct RewriteNeed {
  std::vector<size_t> touched;
  std::vector<std::string> columns;  ///< of the source, that some file takes
  int64_t task = 0;                  ///< memory of one thread beside source rows
  int64_t group_rows = 0;            ///< most rows that one row group replaces
  int64_t all_rows = 0;              ///< rows to replace
  int64_t total_bytes = 0;
  int64_t total_rows = 0;
};

/// Reads the page headers of every file that is touched.
arrow::Result<RewriteNeed> SumUpNeed(const Target& target, const arrow::Schema& source,
                                     RunContext* context);

}  // namespace floodwall

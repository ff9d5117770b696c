#pragma once

/// Hands the rewrite matches and source rows, one row group after another: for matches that lie in
/// a spill file.
///
/// Threading: one thread a loader; of a resident source groups in ascending order. Errors: kSpill,
/// OutOfMemory. Memory: the matches of a row group, and the share given for rows, in each loader.
/// Lifetime: borrows source and matches.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "merge/row_source.h"
#include "merge/target.h"
#include "spill/record_sorter.h"

namespace floodwall {

class GroupLoader {
 public:
  /// matches: as KeyMatch::spilled. columns: those the rewrite takes. share: memory for the rows of
  /// each of `count` loaders; one where the source is resident.
  static arrow::Result<std::vector<std::unique_ptr<GroupLoader>>> Make(
      const Target& target, RowSource* source, std::vector<std::string> columns,
      RecordSorter* matches, int64_t share, int count, RunContext* context);
  virtual ~GroupLoader() = default;
  /// Fills group->matches; the rows are valid until the next call.
  virtual arrow::Result<std::shared_ptr<const RowSet>> Load(TargetRowGroup* group) = 0;
};

}  // namespace floodwall

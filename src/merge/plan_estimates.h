#pragma once

/// The arithmetic of a plan: memory that each phase of a merge needs, and bytes it would move.
///
/// Threading: pure. Errors: those of reading footers and page headers. Units: bytes. Lifetime:
/// values only.

#include <cstdint>

#include "arrow/result.h"
#include "merge/rewrite_need.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {

/// What a merge needs, phase by phase, whatever its limit is.
struct PhaseNeeds {
  int64_t opened = 0;        ///< while the target's footers are read
  int64_t held = 0;          ///< before keys are matched
  int64_t fixed = 0;         ///< bits of rows and the like, from then on
  int64_t keys = 0;          ///< a table of all source keys
  int64_t key_pages = 0;     ///< key columns while they are read
  int64_t matches = 0;       ///< positions of all rows to replace
  int64_t source_pages = 0;  ///< a column of the source while it is read
  int64_t insert = 0;        ///< new rows being written, beside what is fixed
  bool resident = false;
  RewriteNeed rewrite;

  /// The least limit with which every phase goes through.
  int64_t Minimum() const;

 private:
  int64_t InMemory() const;
  int64_t Spilled() const;
  int64_t MatchInMemory() const;
};

/// Bytes that one file, or all, would cost.
struct FileEstimate {
  int64_t read = 0;
  int64_t written = 0;
  int64_t copied = 0;
  int64_t encoded = 0;
  void Add(const FileEstimate& other);
};

/// A touched file, as if every matched row changed.
arrow::Result<FileEstimate> EstimateRewrite(const Target& target, const TargetFile& file,
                                            RowSource* source, RunContext* context);

/// Size of `rows` new rows in new files.
arrow::Result<int64_t> EstimateInsert(const Target& target, RowSource* source, int64_t rows);

/// Spill files through which matched rows reach their row groups.
arrow::Result<int64_t> EstimateRouting(RowSource* source, const RewriteNeed& rewrite);

/// Memory for `rows` new rows of the source.
arrow::Result<int64_t> InsertNeed(const Target& target, RowSource* source, bool by_partition,
                                  int64_t rows, RunContext* context);

/// Memory for reading the key columns of one row group, of either side.
arrow::Result<int64_t> KeyReadNeed(const Target& target, RowSource* source, RunContext* context);

}  // namespace floodwall

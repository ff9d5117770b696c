#pragma once

/// Rewrites touched files: untouched row groups and unchanged column chunks are copied as
/// bytes, changed chunks recoded.
///
/// Threading: RewriteFiles uses up to `threads` threads, a file each. Errors:
/// kMemoryLimitTooSmall before the first file is staged, else those of its parts.
/// Memory: each thread's worst case is known from the page headers and checked against the
/// budget first; loaded source rows take what remains.

#include <vector>

#include "dataset/commit.h"
#include "merge/row_bitmap.h"
#include "merge/row_source.h"
#include "merge/target.h"
#include "spill/record_sorter.h"

namespace floodwall {

/// The outcome for one file of the target.
struct RewrittenFile {
  size_t file = 0;  ///< index in Target::files()
  AssembledFile assembled;
  bool changed = false;  ///< something is staged; else every replacement equalled the old row
  bool removed = false;  ///< no row is left: the file goes away
};

/// spilled: the rows to replace where they do not lie in the target's row groups (see
/// KeyMatch::spilled), else null. `changed` gets a bit for each source row that changed some value.
arrow::Result<std::vector<RewrittenFile>> RewriteFiles(Target* target, RowSource* source,
                                                       RecordSorter* spilled, Storage* storage,
                                                       Commit* commit, int threads,
                                                       RowBitmap* changed, RunContext* context);

}  // namespace floodwall

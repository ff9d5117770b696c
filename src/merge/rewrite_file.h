#pragma once

/// Writes the staged successor of one file: row groups and column chunks without a change are
/// copied, the others patched or encoded anew. rewrite.h does so for all files.
///
/// Threading: one thread a file, several files at once. Errors: those of reading, encoding and
/// staging. Memory: from the encode pool, within RewriteNeed::task. Lifetime: borrows everything.

#include <memory>

#include "arrow/result.h"
#include "merge/group_loader.h"
#include "merge/rewrite.h"

namespace floodwall {

/// rows: everything this file needs, matches in place; or a loader that gives both.
arrow::Result<RewrittenFile> RewriteFile(Target* target, size_t file, RowSource* source,
                                         Storage* storage, Commit* commit, RowBitmap* changed,
                                         std::shared_ptr<const RowSet> rows, GroupLoader* loader,
                                         RunContext* context);

}  // namespace floodwall

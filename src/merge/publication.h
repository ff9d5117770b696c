#pragma once

/// Turns staged files into a commit: what the dataset consists of afterwards, counted and
/// checked, then published.
///
/// Threading: one thread. Errors: as Commit::Publish; UnknownError when the rows of the new files
/// do not add up (nothing is published then). Lifetime: borrows everything.

#include <vector>

#include "dataset/commit.h"
#include "floodwall/merge_result.h"
#include "merge/insert.h"
#include "merge/rewrite.h"
#include "merge/target.h"

namespace floodwall {

/// Fills the result's files and target_count_after; its other counts must be final.
arrow::Status PublishFiles(const Target& target, const std::vector<RewrittenFile>& rewritten,
                           const std::vector<InsertedFile>& inserted, const MergeOptions& options,
                           Commit* commit, MergeResult* result);

}  // namespace floodwall

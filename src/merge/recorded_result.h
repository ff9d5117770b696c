#pragma once

/// The result of a merge as the text that its commit leaves behind (see dataset/commit_records.h).
///
/// Threading: pure. Errors: kInvalidMerge where a token named another merge, kCommit for a record
/// that cannot be read.

#include <optional>
#include <string>

#include "arrow/result.h"
#include "dataset/listing.h"
#include "floodwall/merge_result.h"

namespace floodwall {

/// options.idempotency_token, distinct for single files in one directory.
std::string RecordToken(const MergeOptions& options, const DatasetListing& listing);

std::string PrintResult(const MergeResult& result, const MergeOptions& options,
                        const std::string& root);

/// The result of the merge that was committed with the options' token, if there is one.
arrow::Result<std::optional<MergeResult>> FindResult(const MergeOptions& options,
                                                     MergeStrategy strategy,
                                                     const DatasetListing& listing);

}  // namespace floodwall

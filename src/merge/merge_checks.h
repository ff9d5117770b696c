#pragma once

/// What a merge and its plan refuse before they do anything.
///
/// Threading: pure. Errors: kInvalidMerge and kSchemaMismatch naming the argument and what is
/// allowed.

#include <string>

#include "arrow/result.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {

/// Options that contradict themselves or each other.
arrow::Status CheckOptions(const MergeOptions& options);

/// The source against the options and against what is at `path`. False: there is nothing to do.
arrow::Result<bool> CheckInputs(const RowSource& source, const DatasetListing& listing,
                                const std::string& path, const MergeOptions& options);

/// Rows that move to another partition are written anew from the source alone.
arrow::Status CheckMovedRows(const arrow::Schema& source, const Target& target,
                             const MergeOptions& options);

/// Rows are added as new files.
arrow::Status CheckNewRows(const Target& target);

}  // namespace floodwall

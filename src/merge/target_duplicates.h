#pragma once

/// Finds the rows of a target that share their key with another, all but one of which go away.
///
/// Threading: one thread, in the order of the dataset. Errors: kMemoryLimitTooSmall,
/// kSchemaMismatch. Memory: what is free of the budget holds a part of the keys at a time; the key
/// columns are read once for each part. Lifetime: borrows everything.

#include <cstdint>

#include "arrow/result.h"
#include "merge/target.h"

namespace floodwall {

/// Marks rows in target->removed(); returns their number.
arrow::Result<int64_t> FindDuplicates(Target* target, RunContext* context);

}  // namespace floodwall

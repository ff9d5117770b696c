#pragma once

/// Merge() with the spill's system calls given: the seam for faults.
///
/// Threading, errors, lifetime: as Merge.

#include <string>

#include "floodwall/merge.h"
#include "spill/spill_calls.h"

namespace floodwall {

arrow::Result<MergeResult> MergeWith(SpillCalls* calls, const MergeSource& source,
                                     const std::string& path, const MergeOptions& options);

}  // namespace floodwall

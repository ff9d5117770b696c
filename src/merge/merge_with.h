#pragma once

/// Merge() and Deduplicate() with the system calls of their files given: the seam for faults.
///
/// Threading, errors: as Merge. Lifetime: the calls outlive the merge.

#include <string>

#include "dataset/storage.h"
#include "floodwall/merge.h"
#include "spill/spill_calls.h"

namespace floodwall {

struct MergeCalls {
  Storage* storage = Storage::Posix();
  SpillCalls* spill = SpillCalls::Real();
};

arrow::Result<MergeResult> MergeWith(const MergeCalls& calls, const MergeSource& source,
                                     const std::string& path, const MergeOptions& options);

arrow::Result<MergeResult> DeduplicateWith(const MergeCalls& calls, const std::string& path,
                                           const MergeOptions& options);

}  // namespace floodwall

#pragma once

/// Matches source and target when the source's keys, or the positions of what they match, do not
/// fit in memory.
///
/// The source's keys are partitioned by hash; each partition is loaded into a KeyIndex, which
/// settles duplicates, and probed with the target's keys: with those of its partition, dealt out
/// once in the same way, or with all of them again and again when there are few partitions.
/// A partition that does not fit is dealt out once more, source and target alike; that ends,
/// because equal keys collapse and different ones part.
///
/// Threading: one thread, in the order of source and target. Errors: kSpill, kDuplicateKey by
/// policy, kMemoryLimitTooSmall. Memory: two bits a source row (four where rows may move to another
/// partition), and of what is left of the
/// budget half for an index, an eighth for the matches. Lifetime: borrows everything.

#include "floodwall/bytes.h"
#include "merge/key_matching.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {

/// What reading key columns and spilled keys takes beside the shares. Four times as much must be
/// free.
constexpr int64_t kSpilledReadRoom = 4 * kMiB;

arrow::Result<KeyMatch> MatchSpilled(RowSource* source, const SourcePartitions& partitions,
                                     Target* target, RunContext* context);

}  // namespace floodwall

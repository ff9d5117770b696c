#pragma once

/// A stream that can be read once as a source that is read as often as needed: held while it is
/// small, spilled otherwise.
///
/// Threading: one thread. Errors: kSpill, the stream's own. Memory: at most kHeldShare of the
/// budget for rows held; a spilled stream takes one batch while it is written.

#include <memory>

#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "merge/row_source.h"

namespace floodwall {

/// A stream is held when it takes at most this part of the budget: keys, positions and encoders
/// need the rest.
constexpr int64_t kHeldShare = 4;

/// Reads batches until the first that has rows.
arrow::Result<std::unique_ptr<RowSource>> OpenStream(
    std::shared_ptr<arrow::RecordBatchReader> reader, RunContext* context);

}  // namespace floodwall

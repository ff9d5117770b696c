#pragma once

/// Reads the source's keys: which of its rows counts for each key.
///
/// Threading: one thread. Errors: kSchemaMismatch for key columns that are missing or cannot be
/// compared, kDuplicateKey by policy, kMemoryLimitTooSmall. Memory: index and bitmap from the
/// index pool. Lifetime: values.

#include <cstdint>
#include <memory>

#include "arrow/result.h"
#include "merge/key_index.h"
#include "merge/key_ranges.h"
#include "merge/row_bitmap.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {

struct SourceKeys {
  KeySchema schema;
  std::unique_ptr<KeyIndex> index;
  KeyRanges ranges;
  RowBitmap wins;  ///< source rows that count
  int64_t distinct = 0;
  int64_t dropped = 0;  ///< source rows that lost to another with their key
};

/// Each key column and each order_by column must be in the source, once.
arrow::Status CheckKeysInSource(const arrow::Schema& schema, const MergeOptions& options);

/// The forms in which keys of the source and of every file are compared.
arrow::Result<KeySchema> ResolveKeys(const RowSource& source, const Target& target,
                                     const MergeOptions& options);

/// Memory of an index for each key, its order_by values included; measured on the first rows.
arrow::Result<int64_t> IndexBytesPerKey(RowSource* source, const Target& target,
                                        RunContext* context);

arrow::Result<SourceKeys> IngestKeys(RowSource* source, const Target& target, RunContext* context);

}  // namespace floodwall

#pragma once

/// Duplicate keys as an error: examples printed from rows known by their number only.
///
/// Threading: one thread. Errors: those of reading. Lifetime: values.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "merge/key_schema.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {

arrow::Result<std::vector<std::string>> PrintSourceKeys(const KeySchema& schema, RowSource* source,
                                                        const std::vector<int64_t>& ordinals,
                                                        RunContext* context);

/// Sorted.
arrow::Result<std::vector<std::string>> PrintTargetKeys(const KeySchema& schema,
                                                        const Target& target,
                                                        const std::vector<int64_t>& positions,
                                                        RunContext* context);

/// kDuplicateKey with the examples, the first of them in the message.
arrow::Status DuplicateKeys(const std::string& what, std::vector<std::string> examples);
/// kPartitionMove likewise.
arrow::Status RowsWouldMove(int64_t rows, std::vector<std::string> examples);

}  // namespace floodwall

#pragma once

/// What rewriting a file takes at most, by its page headers: checked against the budget before the
/// first file is staged.
///
/// Threading: pure. Errors: kUnsupportedFile for pages that cannot be read. Units: bytes.

#include <cstdint>
#include <memory>
#include <vector>

#include "arrow/result.h"
#include "merge/field_plan.h"

namespace floodwall {

/// Memory of the dearest column of a row group that may be edited in a file.
arrow::Result<int64_t> TaskNeed(const TargetFile& target,
                                const std::shared_ptr<ParquetSource>& file,
                                const std::vector<FieldPlan>& plans);

}  // namespace floodwall

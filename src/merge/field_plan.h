#pragma once

/// What a merge does to each top-level column of one target file.
///
/// Threading: values. Lifetime: values only.

#include <memory>
#include <string>
#include <vector>

#include "arrow/type.h"
#include "dataset/parquet_source.h"
#include "merge/target.h"

namespace floodwall {

/// A top-level column of a file and its leaves.
struct FieldPlan {
  std::string name;
  int leaf = 0;  ///< the first; -1 for a column the file does not have
  int leaf_count = 1;
  bool nested = false;
  int source_column = -1;  ///< -1 with `replace`: becomes null
  bool replace = false;
  std::shared_ptr<arrow::Field> added;  ///< set where the file does not have the column
};

/// The file's columns in order, then those it may gain from the source.
std::vector<FieldPlan> PlanFields(const ParquetSource& file, const arrow::Schema& source,
                                  const Target& target, const MergeOptions& options);

}  // namespace floodwall

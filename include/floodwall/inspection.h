#pragma once

/// How a dataset lies on disk, and what merging into it takes.
///
/// Threading: may run in any thread. An interrupted merge is completed or cleaned away first, under
/// the dataset's lock. Errors: kConflict while a merge runs, kUnsupportedFile for files that cannot
/// be merged into, kInvalidMerge for a path without a dataset. Units: bytes, rows. Lifetime: values
/// only.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "floodwall/export.h"
#include "floodwall/recovery.h"

namespace floodwall {

/// A leaf column over all files.
struct ColumnLayout {
  std::string path;                 ///< dotted for nested columns
  std::string type;                 ///< as the newest file that has it stores it
  std::vector<std::string> codecs;  ///< sorted
  int64_t compressed_bytes = 0;
  int64_t uncompressed_bytes = 0;
  int64_t largest_page_bytes = 0;        ///< uncompressed
  int64_t largest_dictionary_bytes = 0;  ///< uncompressed; 0: none
  int64_t files = 0;                     ///< that have it
};

struct DatasetInspection {
  RecoveryResult recovery;  ///< what was put right first
  std::vector<std::string> partition_columns;
  int64_t files = 0;
  int64_t row_groups = 0;
  int64_t rows = 0;
  int64_t size_bytes = 0;
  int64_t largest_row_group_bytes = 0;
  int64_t largest_row_group_rows = 0;
  std::vector<ColumnLayout> columns;
  /// A max_memory with which all rows of any one row group can be replaced, when the source is
  /// small and its keys are. PlanMerge tells it for a given source.
  int64_t minimum_merge_bytes = 0;
};

FLOODWALL_EXPORT arrow::Result<DatasetInspection> Inspect(const std::string& path);

}  // namespace floodwall

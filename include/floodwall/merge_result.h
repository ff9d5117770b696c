#pragma once

/// What a merge did: exact counts, files and bytes.
///
/// Threading: plain values. Units: bytes, rows, seconds. Lifetime: values only.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "floodwall/merge_options.h"

namespace floodwall {

struct MergeFileMetadata {
  std::string path;  ///< absolute
  int64_t row_count = 0;
  std::string operation;  ///< "rewritten" "inserted" "preserved" "deleted"
  int64_t size_bytes = 0;
};

/// before + inserted - deleted == after, checked against the footers before the commit.
struct MergeResult {
  MergeStrategy strategy = MergeStrategy::kUpsert;
  int64_t source_count = 0;  ///< distinct source rows after duplicates are resolved
  int64_t target_count_before = 0;
  int64_t target_count_after = 0;
  int64_t inserted = 0;   ///< rows added
  int64_t updated = 0;    ///< distinct source keys that matched, of strategies that replace
  int64_t unchanged = 0;  ///< those of `updated` whose rows were already identical
  int64_t deleted = 0;    ///< rows removed
  int64_t duplicates_dropped = 0;        ///< source rows that lost to another with their key
  std::vector<MergeFileMetadata> files;  ///< every file there is or was, sorted

  double elapsed_s = 0;
  int64_t limit_bytes = 0;
  int64_t peak_memory_bytes = 0;  ///< high-water mark of the merge's budget, exact
  int64_t bytes_read = 0;         ///< encoded bytes of the column chunks and files read
  int64_t bytes_written = 0;      ///< sizes of the files written
  int64_t bytes_copied = 0;       ///< part of bytes_written copied without decoding
  int64_t bytes_encoded = 0;      ///< part of bytes_written encoded anew
  int64_t bytes_spilled = 0;      ///< written to spill files; 0: everything fitted in memory
  int threads = 1;
  /// The result of an earlier merge with the same idempotency token; this one did nothing.
  bool already_committed = false;
  std::vector<std::pair<std::string, double>> phase_seconds;
};

}  // namespace floodwall

#pragma once

/// Sorts pairs of integers that may not fit in memory: matches by ordinal or by position.
///
/// Records gather in memory; when that is full they are sorted and written as a run, and runs
/// are merged while they are read, in several rounds when there are too many for the memory.
///
/// Threading: one thread. Errors: kSpill, OutOfMemory from the pool. Lifetime: the directory and
/// the pool outlive it. Memory: at most memory_bytes, from the pool, less when it denies some.

#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

#include "arrow/buffer.h"
#include "arrow/result.h"
#include "spill/spill_directory.h"

namespace floodwall {

/// Sorted by both, so that the order of equal keys is not left to chance.
struct SpillRecord {
  int64_t key = 0;
  int64_t value = 0;
  auto operator<=>(const SpillRecord&) const = default;
};

class RecordSorter {
 public:
  /// The least memory a sorter works with.
  static constexpr int64_t kMinimumBytes = 256 << 10;

  RecordSorter(SpillDirectory* directory, int64_t memory_bytes, arrow::MemoryPool* pool);
  ~RecordSorter();

  arrow::Status Add(SpillRecord record);
  int64_t size() const { return size_; }
  /// Gives memory and disk back; nothing is read any more.
  void Release();
  /// Held while records are added; given back by the first Rewind unless all fit.
  int64_t memory_bytes() const { return buffer_ ? buffer_->size() : 0; }

  /// Ends the input and starts reading; again, to read once more from the start.
  arrow::Status Rewind();
  /// The next record in order; false at the end.
  arrow::Result<bool> Next(SpillRecord* out);

 private:
  struct Run {
    int64_t offset;  ///< in the file
    int64_t count;   ///< records
  };
  class RunReader;
  struct Merge;

  arrow::Status Grow();
  arrow::Status WriteRun();
  arrow::Status MergeRounds();
  arrow::Result<std::unique_ptr<Merge>> StartMerge(size_t first, size_t last);
  SpillRecord* records() { return reinterpret_cast<SpillRecord*>(buffer_->mutable_data()); }

  SpillDirectory* directory_;
  const int64_t capacity_;  ///< records
  arrow::MemoryPool* pool_;
  std::unique_ptr<arrow::ResizableBuffer> buffer_;
  int64_t held_ = 0;
  int64_t size_ = 0;
  bool ended_ = false;
  int64_t next_ = 0;  ///< while everything is in memory
  std::unique_ptr<SpillFile> file_;
  std::vector<Run> runs_;
  std::unique_ptr<Merge> merge_;
};

}  // namespace floodwall

#pragma once

/// Keys with a number each (a row of the source or of the target), dealt out by hash to spilled
/// partitions: how keys that do not fit in memory are matched, one partition at a time.
///
/// The hash only decides where a key goes: equal keys go to one partition, and whoever reads it
/// compares whole keys. Its seed is random, so nobody can craft keys that stay together; a
/// partition that is too large is dealt out once more with another seed.
///
/// Threading: appended to by one thread, then Finish; then read. Errors: kSpill, OutOfMemory.
/// Memory: a block for each partition until Finish; while one is read a block and a batch of
/// keys. Lifetime: borrows the schema and the context.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/result.h"
#include "merge/key_encoder.h"
#include "merge/run_context.h"
#include "spill/spill_streams.h"

namespace floodwall {

/// Deals keys out to partitions.
class KeyDealer {
 public:
  explicit KeyDealer(int count);
  int count() const { return count_; }
  int PartitionOf(const KeyBatch& batch, int64_t row) const;

 private:
  int count_;
  uint64_t seed_;
};

/// Keys as they come back from a partition.
struct KeyedBatch {
  explicit KeyedBatch(arrow::MemoryPool* pool) : keys(pool) {}
  KeyBatch keys;
  std::vector<int64_t> numbers;
  std::vector<std::string> notes;  ///< empty when none were appended
};

class KeyPartitions {
 public:
  /// with_notes: each key comes with a byte string of the caller's.
  static arrow::Result<std::unique_ptr<KeyPartitions>> Make(const KeySchema* schema,
                                                            bool with_notes, int count,
                                                            int64_t block_bytes,
                                                            RunContext* context);

  arrow::Status Append(int partition, const KeyBatch& batch, int64_t row, int64_t number,
                       std::string_view note = {});
  arrow::Status Finish() { return streams_->Finish(); }

  int count() const { return streams_->count(); }
  int64_t records(int partition) const { return records_[static_cast<size_t>(partition)]; }
  int64_t bytes(int partition) const { return streams_->bytes(partition); }
  bool with_notes() const { return with_notes_; }

  /// A partition's keys in the order in which they were appended.
  arrow::Status ForEachBatch(int partition,
                             const std::function<arrow::Status(const KeyedBatch&)>& visit) const;

 private:
  KeyPartitions(const KeySchema* schema, bool with_notes, RunContext* context)
      : schema_(schema), with_notes_(with_notes), context_(context) {}
  bool fixed() const { return schema_->inlined && !with_notes_; }

  const KeySchema* schema_;
  const bool with_notes_;
  RunContext* context_;
  std::unique_ptr<SpillStreams> streams_;
  std::vector<int64_t> records_;
};

}  // namespace floodwall

#pragma once

/// Rows of Arrow in a spill file, in chains, column by column: a stream that can be read once,
/// or a source's rows dealt out to the stretches of the target that want them.
///
/// Each batch becomes a region: one LZ4-compressed IPC message a column, and their lengths. So
/// one column of a region is read without the others.
///
/// Threading: appended to by one thread; then read from many. Errors: kSpill, OutOfMemory from
/// the pools, what Arrow says of types it cannot write (dictionaries: callers decode them
/// first). Units: bytes, rows. Lifetime: the directory and the pool outlive it. Memory: the
/// message of one column while it is written or read; 16 bytes a region.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "arrow/buffer.h"
#include "arrow/ipc/options.h"
#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "arrow/stl_allocator.h"
#include "arrow/type.h"
#include "spill/spill_directory.h"

namespace floodwall {

/// One batch in the file.
struct RowRegion {
  int64_t lengths_at = 0;  ///< where its columns end and their lengths begin
  int64_t rows = 0;
};

class RowSpill {
 public:
  static arrow::Result<std::unique_ptr<RowSpill>> Make(SpillDirectory* directory,
                                                       std::shared_ptr<arrow::Schema> schema,
                                                       int chains, arrow::MemoryPool* pool);

  /// The batch has the schema's columns.
  arrow::Status Append(int chain, const arrow::RecordBatch& batch);

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  int chains() const { return static_cast<int>(chains_.size()); }
  int64_t rows(int chain) const;
  std::span<const RowRegion> regions(int chain) const {
    return chains_[static_cast<size_t>(chain)];
  }
  int64_t size_bytes() const { return file_->size(); }

  /// One column of a region, its buffers from `pool`.
  arrow::Result<std::shared_ptr<arrow::Array>> ReadColumn(const RowRegion& region, int column,
                                                          arrow::MemoryPool* pool) const;

 private:
  using Regions = std::vector<RowRegion, arrow::stl::allocator<RowRegion>>;
  RowSpill(std::shared_ptr<arrow::Schema> schema, arrow::MemoryPool* pool)
      : schema_(std::move(schema)), pool_(pool) {}

  std::shared_ptr<arrow::Schema> schema_;
  arrow::MemoryPool* pool_;
  arrow::ipc::IpcWriteOptions options_;
  std::shared_ptr<arrow::Buffer> buffer_;
  std::unique_ptr<SpillFile> file_;
  std::vector<Regions> chains_;
};

}  // namespace floodwall

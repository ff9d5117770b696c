#pragma once

/// Many byte streams in one spill file: how keys are partitioned and matches are kept.
///
/// Each stream fills a block in memory; full blocks go to the file one behind the other, and
/// each stream remembers its own. So a thousand partitions take one descriptor, and a stream
/// is read back block by block.
///
/// Threading: appended to by one thread, then Finish; afterwards read from many. Errors:
/// kSpill, OutOfMemory from the pool. Units: bytes. Lifetime: the directory and the pool
/// outlive it. Memory: block_bytes for each stream that was appended to, until Finish; one
/// block for each reader; eight bytes for each block written.

#include <cstdint>
#include <memory>
#include <vector>

#include "arrow/buffer.h"
#include "arrow/result.h"
#include "arrow/stl_allocator.h"
#include "spill/spill_directory.h"

namespace floodwall {

class SpillStreams {
 public:
  static arrow::Result<std::unique_ptr<SpillStreams>> Make(SpillDirectory* directory, int count,
                                                           int64_t block_bytes,
                                                           arrow::MemoryPool* pool);

  arrow::Status Append(int stream, const void* data, int64_t length);
  /// Writes what the blocks hold and frees them. Nothing is appended afterwards.
  arrow::Status Finish();

  int count() const { return static_cast<int>(streams_.size()); }
  int64_t bytes(int stream) const { return streams_[static_cast<size_t>(stream)].bytes; }

  /// Reads one finished stream from its start.
  class Reader {
   public:
    static arrow::Result<Reader> Make(const SpillStreams* streams, int stream);
    /// The next `length` bytes, of which left() must have as many.
    arrow::Status Read(void* out, int64_t length);
    int64_t left() const { return left_; }

   private:
    Reader() = default;
    const SpillStreams* streams_ = nullptr;
    int stream_ = 0;
    int64_t left_ = 0;
    size_t next_block_ = 0;
    std::shared_ptr<arrow::Buffer> block_;
    int64_t position_ = 0;
    int64_t filled_ = 0;
  };

 private:
  using Offsets = std::vector<int64_t, arrow::stl::allocator<int64_t>>;
  struct Stream {
    explicit Stream(arrow::MemoryPool* pool) : blocks(arrow::stl::allocator<int64_t>(pool)) {}
    Offsets blocks;  ///< where each block starts in the file
    std::shared_ptr<arrow::Buffer> block;
    int64_t filled = 0;
    int64_t bytes = 0;
  };
  SpillStreams(int64_t block_bytes, arrow::MemoryPool* pool)
      : block_bytes_(block_bytes), pool_(pool) {}
  arrow::Status WriteBlock(Stream* stream);

  const int64_t block_bytes_;
  arrow::MemoryPool* pool_;
  std::unique_ptr<SpillFile> file_;
  std::vector<Stream> streams_;
};

}  // namespace floodwall

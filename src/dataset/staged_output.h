#pragma once

/// A staged file as Arrow's output stream, so that Parquet's writers can write to it.
///
/// Threading: one thread. Errors: the StagedFile's. Lifetime: owns the file. Memory: one
/// buffer of kBufferBytes from the pool.

#include <memory>

#include "arrow/buffer.h"
#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "dataset/storage.h"

namespace floodwall {

class StagedOutput final : public arrow::io::OutputStream {
 public:
  static constexpr int64_t kBufferBytes = 256 << 10;

  static arrow::Result<std::shared_ptr<StagedOutput>> Make(std::unique_ptr<StagedFile> file,
                                                           arrow::MemoryPool* pool);

  arrow::Status Write(const void* data, int64_t length) override;
  using arrow::io::OutputStream::Write;
  arrow::Result<int64_t> Tell() const override { return position(); }
  arrow::Status Flush() override;
  /// Flushes and closes, without syncing.
  arrow::Status Close() override;
  bool closed() const override { return closed_; }

  int64_t position() const { return file_->size() + used_; }
  arrow::Status CopyFrom(int source_fd, int64_t offset, int64_t length);
  /// Forgets everything behind an earlier position.
  arrow::Status Rewind(int64_t position);
  /// Flushes and forces to the device.
  arrow::Status Sync();
  const std::string& path() const { return file_->path(); }

 private:
  std::unique_ptr<StagedFile> file_;
  std::shared_ptr<arrow::Buffer> buffer_;
  int64_t used_ = 0;
  bool closed_ = false;
};

}  // namespace floodwall

#pragma once

/// pread(2) on an open file: completed short reads, Arrow's input and Thrift's window over it.
///
/// Threading: ReadFully is safe from any thread; the classes are one thread's. Errors: kCommit
/// with os_error; a file that ends early is EIO. Units: bytes. Lifetime: PreadFile keeps its
/// owner alive; WindowInput borrows descriptor and path.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "arrow/io/interfaces.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"
#include "dataset/thrift_cursor.h"

namespace floodwall {

/// Reads up to `length` bytes at `offset`; fewer only at the file's end.
arrow::Result<int64_t> ReadFully(int fd, const std::string& path, int64_t offset, int64_t length,
                                 void* out);

/// Thrift read through a buffer of fixed size, which the caller owns.
class WindowInput final : public thrift::Input {
 public:
  WindowInput(int fd, const std::string& path, std::span<char> buffer)
      : fd_(fd), path_(path), buffer_(buffer) {}
  arrow::Result<std::string_view> ReadAt(int64_t offset) override;

 private:
  const int fd_;
  const std::string& path_;
  const std::span<char> buffer_;
};

/// A file of known size as Arrow's input, sharing its owner's descriptor.
class PreadFile final : public arrow::io::RandomAccessFile {
 public:
  PreadFile(std::shared_ptr<const void> owner, int fd, std::string path, int64_t size,
            arrow::MemoryPool* pool);
  arrow::Status Close() override;
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Seek(int64_t position) override;
  arrow::Result<int64_t> GetSize() override { return size_; }
  arrow::Result<int64_t> Read(int64_t length, void* out) override;
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t length) override;
  arrow::Result<int64_t> ReadAt(int64_t position, int64_t length, void* out) override;
  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t length) override;

 private:
  const std::shared_ptr<const void> owner_;
  const int fd_;
  const std::string path_;
  const int64_t size_;
  arrow::MemoryPool* const pool_;
  int64_t position_ = 0;
  bool closed_ = false;
};

}  // namespace floodwall

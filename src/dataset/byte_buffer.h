#pragma once

/// A growing array of bytes from a pool whose memory is kept when it is emptied: pages of one
/// chunk after another go through the same few of them.
///
/// Threading: one thread. Errors: OutOfMemory from the pool. Lifetime: owns its memory.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "arrow/buffer.h"
#include "arrow/memory_pool.h"
#include "arrow/result.h"

namespace floodwall {

class ByteBuffer {
 public:
  explicit ByteBuffer(arrow::MemoryPool* pool) : pool_(pool) {}

  arrow::MemoryPool* pool() const { return pool_; }
  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  int64_t capacity() const { return capacity_; }
  std::span<uint8_t> span() { return {data_, static_cast<size_t>(size_)}; }

  void Clear() { size_ = 0; }
  /// Gives the memory back.
  void Reset() {
    buffer_.reset();
    data_ = nullptr;
    size_ = capacity_ = 0;
  }
  /// Makes room for `bytes` in all, exactly when there is none yet.
  arrow::Status Reserve(int64_t bytes) {
    if (bytes <= capacity_) return arrow::Status::OK();
    // What is not used need not be moved, nor held while the new memory is taken.
    if (size_ == 0) Reset();
    if (buffer_) {
      ARROW_RETURN_NOT_OK(buffer_->Resize(bytes, false));
    } else {
      ARROW_ASSIGN_OR_RAISE(buffer_, arrow::AllocateResizableBuffer(bytes, pool_));
    }
    data_ = buffer_->mutable_data();
    capacity_ = bytes;
    return arrow::Status::OK();
  }
  /// New bytes are not initialized.
  arrow::Status Resize(int64_t bytes) {
    ARROW_RETURN_NOT_OK(Grow(bytes));
    size_ = bytes;
    return arrow::Status::OK();
  }
  arrow::Status Append(const void* bytes, int64_t length) {
    if (length > capacity_ - size_) ARROW_RETURN_NOT_OK(Grow(size_ + length));
    if (length > 0) std::memcpy(data_ + size_, bytes, static_cast<size_t>(length));
    size_ += length;
    return arrow::Status::OK();
  }
  arrow::Status Prepend(const void* bytes, int64_t length) {
    const int64_t before = size_;
    ARROW_RETURN_NOT_OK(Resize(size_ + length));
    std::memmove(data_ + length, data_, static_cast<size_t>(before));
    std::memcpy(data_, bytes, static_cast<size_t>(length));
    return arrow::Status::OK();
  }
  arrow::Status AppendByte(uint8_t byte) { return Append(&byte, 1); }
  /// Little-endian, as Parquet's lengths.
  arrow::Status AppendUint32(uint32_t value) { return Append(&value, sizeof(value)); }

 private:
  arrow::Status Grow(int64_t bytes) {
    if (bytes <= capacity_) return arrow::Status::OK();
    return Reserve(capacity_ == 0 ? bytes : std::max(bytes, capacity_ + capacity_ / 2));
  }

  arrow::MemoryPool* pool_;
  std::unique_ptr<arrow::ResizableBuffer> buffer_;
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace floodwall

#include "dataset/pread_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "arrow/buffer.h"
#include "floodwall/error.h"

namespace floodwall {

arrow::Result<int64_t> ReadFully(int fd, const std::string& path, int64_t offset, int64_t length,
                                 void* out) {
  int64_t done = 0;
  while (done < length) {
    const ssize_t n = ::pread(fd, static_cast<char*>(out) + done,
                              static_cast<size_t>(length - done), offset + done);
    if (n < 0) {
      if (errno == EINTR) continue;
      return MakeOsError(ErrorKind::kCommit, errno, "cannot read the file", path);
    }
    if (n == 0) break;
    done += n;
  }
  return done;
}

arrow::Result<std::string_view> WindowInput::ReadAt(int64_t offset) {
  ARROW_ASSIGN_OR_RAISE(
      const int64_t n,
      ReadFully(fd_, path_, offset, static_cast<int64_t>(buffer_.size()), buffer_.data()));
  return std::string_view(buffer_.data(), static_cast<size_t>(n));
}

PreadFile::PreadFile(std::shared_ptr<const void> owner, int fd, std::string path, int64_t size,
                     arrow::MemoryPool* pool)
    : owner_(std::move(owner)), fd_(fd), path_(std::move(path)), size_(size), pool_(pool) {
  set_mode(arrow::io::FileMode::READ);
}

arrow::Status PreadFile::Close() {
  closed_ = true;
  return arrow::Status::OK();
}

arrow::Status PreadFile::Seek(int64_t position) {
  if (position < 0) return arrow::Status::Invalid("negative position: ", position);
  position_ = position;
  return arrow::Status::OK();
}

arrow::Result<int64_t> PreadFile::Read(int64_t length, void* out) {
  ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(position_, length, out));
  position_ += n;
  return n;
}

arrow::Result<std::shared_ptr<arrow::Buffer>> PreadFile::Read(int64_t length) {
  ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, length));
  position_ += buffer->size();
  return buffer;
}

arrow::Result<int64_t> PreadFile::ReadAt(int64_t position, int64_t length, void* out) {
  if (position < 0 || length < 0) {
    return arrow::Status::Invalid("cannot read ", length, " bytes at ", position);
  }
  return ReadFully(fd_, path_, position, length, out);
}

arrow::Result<std::shared_ptr<arrow::Buffer>> PreadFile::ReadAt(int64_t position, int64_t length) {
  // A range that a lying header asks for never becomes a buffer larger than the file.
  length = std::clamp<int64_t>(length, 0, std::max<int64_t>(0, size_ - position));
  ARROW_ASSIGN_OR_RAISE(auto buffer, arrow::AllocateResizableBuffer(length, pool_));
  ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(position, length, buffer->mutable_data()));
  ARROW_RETURN_NOT_OK(buffer->Resize(n));
  return std::shared_ptr<arrow::Buffer>(std::move(buffer));
}

}  // namespace floodwall

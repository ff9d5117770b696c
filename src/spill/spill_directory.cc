#include "spill/spill_directory.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <utility>

#include "floodwall/bytes.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

/// Linux moves at most about 2 GiB a call.
constexpr int64_t kStep = int64_t{1} << 30;

arrow::Status Failed(int error, const char* what, const std::string& path) {
  return MakeOsError(ErrorKind::kSpill, error, what, path);
}

std::string MakeName() {
  std::random_device device;
  char name[32];
  std::snprintf(name, sizeof(name), "spill-%08x%08x", device(), device());
  return name;
}

}  // namespace

SpillFile::~SpillFile() {
  directory_->used_.fetch_sub(size_, std::memory_order_relaxed);
  (void)directory_->calls_->Close(fd_);
}

arrow::Status SpillFile::Append(const void* data, int64_t length) {
  ARROW_RETURN_NOT_OK(directory_->Charge(length));
  const char* from = static_cast<const char*>(data);
  int64_t left = length;
  int64_t end = size_;
  size_ += length;  // charged: given back by the destructor, written or not
  while (left > 0) {
    const ssize_t n =
        directory_->calls_->Pwrite(fd_, from, static_cast<size_t>(std::min(left, kStep)), end);
    if (n < 0) {
      if (errno == EINTR) continue;
      return Failed(errno, "cannot write a spill file", directory_->path());
    }
    from += n;
    left -= n;
    end += n;
  }
  return arrow::Status::OK();
}

arrow::Status SpillFile::ReadAt(int64_t offset, int64_t length, void* out) const {
  char* to = static_cast<char*>(out);
  while (length > 0) {
    const ssize_t n =
        directory_->calls_->Pread(fd_, to, static_cast<size_t>(std::min(length, kStep)), offset);
    if (n < 0) {
      if (errno == EINTR) continue;
      return Failed(errno, "cannot read a spill file", directory_->path());
    }
    if (n == 0) return Failed(EIO, "a spill file ended early", directory_->path());
    to += n;
    length -= n;
    offset += n;
  }
  return arrow::Status::OK();
}

SpillDirectory::SpillDirectory(std::string parent, int64_t max_bytes,
                               std::function<void(int64_t)> on_spilled, SpillCalls* calls)
    : parent_(std::move(parent)),
      path_(parent_ + "/" + MakeName()),
      on_spilled_(std::move(on_spilled)),
      calls_(calls),
      own_quota_(max_bytes >= 0),
      max_bytes_(max_bytes) {}

SpillDirectory::~SpillDirectory() {
  if (!open_) return;
  // Best effort: what stays is empty, and the dataset's recovery removes it.
  (void)calls_->RemoveDirectory(path_.c_str());
  if (made_parent_) (void)calls_->RemoveDirectory(parent_.c_str());
}

arrow::Status SpillDirectory::Open() {
  if (open_) return arrow::Status::OK();
  if (calls_->MakeDirectory(parent_.c_str()) == 0) {
    made_parent_ = true;
  } else if (errno != EEXIST) {
    return Failed(errno, "cannot create the spill directory", parent_);
  }
  if (calls_->MakeDirectory(path_.c_str()) != 0) {
    const int error = errno;
    if (made_parent_) (void)calls_->RemoveDirectory(parent_.c_str());
    made_parent_ = false;
    return Failed(error, "cannot create the spill directory", path_);
  }
  open_ = true;
  if (!own_quota_) {
    int64_t free = 0;
    if (calls_->FreeBytes(path_.c_str(), &free) != 0) {
      return Failed(errno, "cannot tell the free space of the spill directory", path_);
    }
    max_bytes_ = free / 100 * kPercentOfFree;
  }
  return arrow::Status::OK();
}

arrow::Result<std::unique_ptr<SpillFile>> SpillDirectory::NewFile() {
  std::lock_guard lock(mutex_);
  ARROW_RETURN_NOT_OK(Open());
  const std::string path = path_ + "/" + std::to_string(next_++);
  const int fd = calls_->Create(path.c_str());
  if (fd < 0) return Failed(errno, "cannot create a spill file", path);
  auto file = std::unique_ptr<SpillFile>(new SpillFile(this, fd));
  if (calls_->Unlink(path.c_str()) != 0) return Failed(errno, "cannot unlink a spill file", path);
  return file;
}

arrow::Status SpillDirectory::Charge(int64_t bytes) {
  const int64_t used = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  const int64_t limit = max_bytes_.load(std::memory_order_relaxed);
  if (used > limit) {
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    auto detail = std::make_shared<ErrorDetail>(ErrorKind::kSpill);
    detail->os_error = EDQUOT;
    detail->requested_bytes = bytes;
    detail->limit_bytes = limit;
    detail->used_bytes = used - bytes;
    return MakeError(std::move(detail), "spilling would pass max_spill: " + FormatBytes(used) +
                                            " needed, limit " + FormatBytes(limit) +
                                            (own_quota_ ? "" : " (90 % of the free space)") +
                                            ": '" + path_ + "'");
  }
  spilled_.fetch_add(bytes, std::memory_order_relaxed);
  if (on_spilled_) on_spilled_(bytes);
  return arrow::Status::OK();
}

}  // namespace floodwall

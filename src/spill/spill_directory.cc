#include "spill/spill_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <utility>

#include "base/file_lock.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

/// Linux moves at most about 2 GiB a call.
constexpr int64_t kStep = int64_t{1} << 30;
/// Somebody who cleans up may take a directory before it is locked, as often as he looks.
constexpr int kAttempts = 10;

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
  Close();
  if (made_parent_) (void)calls_->RemoveDirectory(parent_.c_str());
}

std::string SpillDirectory::path() const {
  std::lock_guard lock(mutex_);
  return path_;
}

void SpillDirectory::Close() {
  // Best effort: what stays is empty, and the dataset's recovery removes it.
  (void)calls_->RemoveDirectory(path_.c_str());
  if (lock_ >= 0) (void)calls_->Close(lock_);
  lock_ = -1;
  open_ = false;
}

arrow::Status SpillDirectory::MakeParent() {
  if (calls_->MakeDirectory(parent_.c_str()) == 0) {
    made_parent_ = true;
  } else if (errno != EEXIST) {
    return Failed(errno, "cannot create the spill directory", parent_);
  }
  return arrow::Status::OK();
}

arrow::Status SpillDirectory::Open() {
  if (open_) return arrow::Status::OK();
  arrow::Status failure;
  for (int attempt = 0; attempt < kAttempts && !open_; ++attempt) {
    ARROW_RETURN_NOT_OK(MakeParent());
    failure = arrow::Status::OK();
    if (calls_->MakeDirectory(path_.c_str()) != 0 && errno != EEXIST) {
      failure = Failed(errno, "cannot create the spill directory", path_);
      if (errno == ENOENT) continue;  // the parent has just gone
      break;
    }
    lock_ = calls_->OpenDirectory(path_.c_str());
    if (lock_ < 0) {
      failure = Failed(errno, "cannot open the spill directory", path_);
      if (errno == ENOENT) continue;
      (void)calls_->RemoveDirectory(path_.c_str());
      break;
    }
    // A file system without locks has none for the dataset either: nobody cleans up there.
    (void)calls_->Lock(lock_);
    open_ = IsStillAt(lock_, path_);
    if (open_) break;
    (void)calls_->Close(std::exchange(lock_, -1));
    failure = Failed(ENOENT, "the spill directory was removed", path_);
  }
  if (!open_) {
    if (made_parent_) (void)calls_->RemoveDirectory(parent_.c_str());
    made_parent_ = false;
    return failure;
  }
  if (!own_quota_ && max_bytes_.load(std::memory_order_relaxed) < 0) {
    int64_t free = 0;
    if (calls_->FreeBytes(path_.c_str(), &free) != 0) {
      return Failed(errno, "cannot tell the free space of the spill directory", path_);
    }
    max_bytes_ = free / 100 * kPercentOfFree;
  }
  return arrow::Status::OK();
}

arrow::Status SpillDirectory::TryFile(std::unique_ptr<SpillFile>* file) {
  ARROW_RETURN_NOT_OK(Open());
  const std::string path = path_ + "/" + std::to_string(next_++);
  const int fd = calls_->Create(path.c_str());
  if (fd < 0) return Failed(errno, "cannot create a spill file", path);
  auto created = std::unique_ptr<SpillFile>(new SpillFile(this, fd));
  if (calls_->Unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Failed(errno, "cannot unlink a spill file", path);
  }
  *file = std::move(created);
  return arrow::Status::OK();
}

arrow::Result<std::unique_ptr<SpillFile>> SpillDirectory::NewFile() {
  std::lock_guard lock(mutex_);
  std::unique_ptr<SpillFile> file;
  for (int attempt = 1;; ++attempt) {
    const arrow::Status status = TryFile(&file);
    if (status.ok()) return file;
    const ErrorDetail* detail = ErrorDetail::From(status);
    const bool gone = open_ && detail->os_error == ENOENT && !IsStillAt(lock_, path_);
    if (!gone || attempt == kAttempts) return status;
    Close();
    path_ = parent_ + "/" + MakeName();
  }
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
                                            ": '" + parent_ + "'");
  }
  spilled_.fetch_add(bytes, std::memory_order_relaxed);
  if (on_spilled_) on_spilled_(bytes);
  return arrow::Status::OK();
}

AbandonedSpill::AbandonedSpill(const std::string& path)
    : fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
  if (fd_ < 0) return;
  is_abandoned_ = LockFile(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

AbandonedSpill::~AbandonedSpill() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace floodwall

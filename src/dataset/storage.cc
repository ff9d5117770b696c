#include "dataset/storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "dataset/directory_attributes.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr int64_t kCopyStep = 64 * kMiB;
constexpr int64_t kCopyBuffer = kMiB;
constexpr unsigned kExchange = 2;  // RENAME_EXCHANGE of linux/fs.h

arrow::Status Failed(int error, const char* what, const std::string& path) {
  return MakeOsError(ErrorKind::kCommit, error, what, path);
}

class PosixStagedFile final : public StagedFile {
 public:
  PosixStagedFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixStagedFile() override {
    if (fd_ >= 0) ::close(fd_);
  }

  arrow::Status Write(const void* data, int64_t length) override {
    const char* from = static_cast<const char*>(data);
    while (length > 0) {
      const ssize_t n =
          ::pwrite(fd_, from, static_cast<size_t>(std::min(length, kCopyStep)), size_);
      if (n < 0) {
        if (errno == EINTR) continue;
        return Failed(errno, "cannot write staged file", path_);
      }
      from += n;
      length -= n;
      size_ += n;
    }
    return arrow::Status::OK();
  }

  arrow::Status CopyFrom(int source_fd, int64_t offset, int64_t length) override {
    off_t in = offset;
    while (length > 0) {
      off_t out = size_;
      const ssize_t n = ::copy_file_range(source_fd, &in, fd_, &out,
                                          static_cast<size_t>(std::min(length, kCopyStep)), 0);
      if (n > 0) {
        length -= n;
        size_ += n;
        continue;
      }
      if (n == 0)
        return arrow::Status::IOError("source ended early while copying to '", path_, "'");
      if (errno == EINTR) continue;
      if (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
        return CopyThroughBuffer(source_fd, in, length);
      }
      return Failed(errno, "cannot write staged file", path_);
    }
    return arrow::Status::OK();
  }

  arrow::Status Truncate(int64_t size) override {
    if (::ftruncate(fd_, size) != 0) return Failed(errno, "cannot truncate staged file", path_);
    size_ = size;
    return arrow::Status::OK();
  }
  arrow::Status Sync() override {
    if (::fsync(fd_) != 0) return Failed(errno, "cannot sync staged file", path_);
    return arrow::Status::OK();
  }
  arrow::Status Close() override {
    if (fd_ < 0) return arrow::Status::OK();
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0) return Failed(errno, "cannot close staged file", path_);
    return arrow::Status::OK();
  }
  int64_t size() const override { return size_; }
  const std::string& path() const override { return path_; }

 private:
  arrow::Status CopyThroughBuffer(int source_fd, int64_t offset, int64_t length) {
    std::vector<char> buffer(static_cast<size_t>(std::min(kCopyBuffer, length)));
    while (length > 0) {
      const auto want = std::min(static_cast<size_t>(length), buffer.size());
      const ssize_t n = ::pread(source_fd, buffer.data(), want, offset);
      if (n < 0) {
        if (errno == EINTR) continue;
        return Failed(errno, "cannot read while copying to", path_);
      }
      if (n == 0)
        return arrow::Status::IOError("source ended early while copying to '", path_, "'");
      ARROW_RETURN_NOT_OK(Write(buffer.data(), n));
      offset += n;
      length -= n;
    }
    return arrow::Status::OK();
  }

  int fd_;
  const std::string path_;
  int64_t size_ = 0;
};

class PosixStorage final : public Storage {
 public:
  arrow::Result<std::unique_ptr<StagedFile>> CreateFile(const std::string& path,
                                                        mode_t mode) override {
    const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return Failed(errno, "cannot create staged file", path);
    auto file = std::make_unique<PosixStagedFile>(fd, path);
    // Not through open(2): the umask must not take bits that the replaced file had.
    if (::fchmod(fd, mode) != 0) return Failed(errno, "cannot set the mode of", path);
    return file;
  }
  arrow::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0)
      return Failed(errno, "cannot rename into place", to);
    return arrow::Status::OK();
  }
  arrow::Status Unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Failed(errno, "cannot remove", path);
    return arrow::Status::OK();
  }
  arrow::Status CreateDirectory(const std::string& path, mode_t mode) override {
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
      return Failed(errno, "cannot create directory", path);
    }
    return arrow::Status::OK();
  }
  arrow::Status RemoveDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
      return Failed(errno, "cannot remove directory", path);
    }
    return arrow::Status::OK();
  }
  arrow::Status SyncDirectory(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return Failed(errno, "cannot open directory", path);
    const int error = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    // Some file systems have nothing to sync in a directory and say so.
    if (error != 0 && error != EINVAL) return Failed(error, "cannot sync directory", path);
    return arrow::Status::OK();
  }
  arrow::Status Link(const std::string& from, const std::string& to) override {
    if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0) != 0) {
      return Failed(errno, "cannot link", from);
    }
    return arrow::Status::OK();
  }
  arrow::Status Exchange(const std::string& one, const std::string& other) override {
    // Not through renameat2(3), which not every C library has.
    if (::syscall(SYS_renameat2, AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), kExchange) != 0) {
      return Failed(errno, "cannot exchange", other);
    }
    return arrow::Status::OK();
  }
  arrow::Status CopyAttributes(const std::string& from, const std::string& to) override {
    const int error = CopyDirectoryAttributes(from, to);
    if (error != 0) return Failed(error, "cannot copy the attributes of directory", from);
    return arrow::Status::OK();
  }
  arrow::Status SetMode(const std::string& path, mode_t mode) override {
    if (::chmod(path.c_str(), mode) != 0) return Failed(errno, "cannot set the mode of", path);
    return arrow::Status::OK();
  }
};

}  // namespace

Storage* Storage::Posix() {
  static PosixStorage storage;
  return &storage;
}

}  // namespace floodwall

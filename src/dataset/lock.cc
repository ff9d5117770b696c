#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "base/file_lock.h"
#include "dataset/commit.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr int kLockAttempts = 10;

}  // namespace

arrow::Result<std::unique_ptr<DatasetLock>> DatasetLock::Acquire(Storage* storage,
                                                                 const std::string& root) {
  const std::string directory = root + "/_floodwall";
  const std::string path = directory + "/lock";
  const auto holder = [](int from) {
    char text[32] = {};
    const ssize_t n = ::pread(from, text, sizeof(text) - 1, 0);
    const std::string pid(text, n > 0 ? static_cast<size_t>(n) : 0);
    return pid.empty() ? "" : " (process " + pid + ")";
  };
  std::unique_ptr<DatasetLock> lock;
  int fd = -1;
  for (int attempt = 1; !lock; ++attempt) {
    ARROW_RETURN_NOT_OK(storage->CreateDirectory(directory));
    // O_CLOEXEC keeps it from exec'd children. A forked child shares the open file description
    // and so the lock, until it exits or execs.
    fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0) {
      // A plan that made the directory may have just removed it.
      if (errno == ENOENT && attempt < kLockAttempts) continue;
      return MakeOsError(ErrorKind::kCommit, errno, "cannot open the dataset's lock", path);
    }
    auto opened = std::unique_ptr<DatasetLock>(new DatasetLock(fd));
    const int result = LockFile(fd, LOCK_EX | LOCK_NB);
    if (result != 0 && errno != EWOULDBLOCK) {
      return MakeOsError(ErrorKind::kCommit, errno, "cannot lock the dataset", path);
    }
    // A lock counts only on the file that others will find: the directory may have been replaced.
    const bool counts = IsStillAt(fd, path);
    if (result != 0 || (!counts && attempt == kLockAttempts)) {
      return MakeError(ErrorKind::kConflict,
                       "another merge or recovery holds the dataset: '" + root + "'" + holder(fd));
    }
    if (counts) lock = std::move(opened);
  }
  // For the message of the next one in line; a failure to write it changes nothing.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) == 0 && ::pwrite(fd, pid.data(), pid.size(), 0) < 0) errno = 0;
  return lock;
}

DatasetLock::~DatasetLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace floodwall

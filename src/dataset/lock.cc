#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "dataset/commit.h"
#include "floodwall/error.h"

namespace floodwall {

arrow::Result<std::unique_ptr<DatasetLock>> DatasetLock::Acquire(Storage* storage,
                                                                 const std::string& root) {
  const std::string directory = root + "/_floodwall";
  ARROW_RETURN_NOT_OK(storage->CreateDirectory(directory));
  const std::string path = directory + "/lock";
  // O_CLOEXEC keeps it from exec'd children. A forked child shares the open file description
  // and so the lock, until it exits or execs.
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0) return MakeOsError(ErrorKind::kCommit, errno, "cannot open the dataset's lock", path);
  auto lock = std::unique_ptr<DatasetLock>(new DatasetLock(fd));
  int result = 0;
  do {
    result = ::flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno != EWOULDBLOCK) {
      return MakeOsError(ErrorKind::kCommit, errno, "cannot lock the dataset", path);
    }
    char holder[32] = {};
    const ssize_t n = ::pread(fd, holder, sizeof(holder) - 1, 0);
    const std::string pid(holder, n > 0 ? static_cast<size_t>(n) : 0);
    return MakeError(ErrorKind::kConflict, "another merge or recovery holds the dataset: '" + root +
                                               "'" + (pid.empty() ? "" : " (process " + pid + ")"));
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

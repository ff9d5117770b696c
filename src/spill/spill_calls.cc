#include "spill/spill_calls.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file_lock.h"

namespace floodwall {

SpillCalls* SpillCalls::Real() {
  static SpillCalls calls;
  return &calls;
}

int SpillCalls::Create(const char* path) {
  return ::open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
}

ssize_t SpillCalls::Pwrite(int fd, const void* data, size_t length, off_t offset) {
  return ::pwrite(fd, data, length, offset);
}

ssize_t SpillCalls::Pread(int fd, void* out, size_t length, off_t offset) {
  return ::pread(fd, out, length, offset);
}

int SpillCalls::Close(int fd) { return ::close(fd); }

int SpillCalls::Unlink(const char* path) { return ::unlink(path); }

int SpillCalls::MakeDirectory(const char* path) { return ::mkdir(path, 0700); }

int SpillCalls::RemoveDirectory(const char* path) { return ::rmdir(path); }

int SpillCalls::OpenDirectory(const char* path) {
  return ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int SpillCalls::Lock(int fd) { return LockFile(fd, LOCK_EX); }

int SpillCalls::FreeBytes(const char* path, int64_t* out) {
  struct statvfs info{};
  if (::statvfs(path, &info) != 0) return -1;
  *out = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  return 0;
}

}  // namespace floodwall

#include "probe/kernel_calls.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#ifdef __linux__
#include <sys/sysinfo.h>
#endif

namespace floodwall {

KernelCalls* KernelCalls::Native() {
  static KernelCalls calls;
  return &calls;
}

int KernelCalls::Open(const char* path) { return ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY); }

ssize_t KernelCalls::Pread(int fd, void* buffer, size_t length, off_t offset) {
  return ::pread(fd, buffer, length, offset);
}

int KernelCalls::Identify(int fd, FileId* id) {
  struct stat status;
  if (::fstat(fd, &status) != 0) return -1;
  *id = {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino)};
  return 0;
}

int KernelCalls::Close(int fd) { return ::close(fd); }

int KernelCalls::SystemInfo(int64_t* total, int64_t* free, int64_t* swap_free) {
#ifdef __linux__
  struct sysinfo info;
  if (::sysinfo(&info) != 0) return -1;
  const auto unit = static_cast<int64_t>(info.mem_unit);
  *total = static_cast<int64_t>(info.totalram) * unit;
  *free = static_cast<int64_t>(info.freeram + info.bufferram) * unit;
  *swap_free = static_cast<int64_t>(info.freeswap) * unit;
  return 0;
#else
  static_cast<void>(total);
  static_cast<void>(free);
  static_cast<void>(swap_free);
  errno = ENOSYS;
  return -1;
#endif
}

int KernelCalls::PeakResident(int64_t* bytes) {
  rusage usage;
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return -1;
  *bytes = int64_t{usage.ru_maxrss} * 1024;
  return 0;
}

const char* KernelCalls::Environment(const char* name) { return std::getenv(name); }

}  // namespace floodwall

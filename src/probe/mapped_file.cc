#include "probe/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace floodwall {
namespace {

int Allocate(int fd, size_t size) {
#ifdef __APPLE__
  return ::ftruncate(fd, static_cast<off_t>(size)) == 0 ? 0 : errno;
#else
  return ::posix_fallocate(fd, 0, static_cast<off_t>(size));
#endif
}

}  // namespace

std::unique_ptr<MappedFile> MappedFile::Create(const std::string& path, size_t size,
                                               std::span<const char> start, int* error) {
  static std::atomic<int> made = 0;
  const std::string staged =
      path + "." + std::to_string(::getpid()) + "-" + std::to_string(++made) + ".new";
  ::unlink(staged.c_str());  // of a process that had this number and was killed here
  const int fd = ::open(staged.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    *error = errno;
    return nullptr;
  }
  void* data = MAP_FAILED;
  *error = Allocate(fd, size);
  if (*error == 0) {
    data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) *error = errno;
  }
  if (*error == 0) std::memcpy(data, start.data(), std::min(start.size(), size));
  if (*error == 0 && ::rename(staged.c_str(), path.c_str()) != 0) {
    *error = errno;
    ::munmap(data, size);
  }
  if (*error != 0) {
    ::unlink(staged.c_str());
    ::close(fd);
    return nullptr;
  }
  static_cast<void>(::mlock(data, size));  // a small file; refused where the rlimit is smaller
  return std::unique_ptr<MappedFile>(new MappedFile(fd, static_cast<char*>(data), size));
}

MappedFile::~MappedFile() {
  ::munmap(data_, size_);
  ::close(fd_);
}

std::span<char> MappedFile::bytes() {
  struct stat status;
  if (::fstat(fd_, &status) != 0 || status.st_size < static_cast<off_t>(size_)) return {};
  return {data_, size_};
}

}  // namespace floodwall

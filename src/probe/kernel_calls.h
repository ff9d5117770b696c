#pragma once

/// The system calls a probe makes, so that tests can make any of them fail.
///
/// Threading: stateless. Errors: -1 with errno, as the calls themselves. Units: bytes.
/// Lifetime: Native() is static.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace floodwall {

class KernelCalls {
 public:
  virtual ~KernelCalls() = default;
  static KernelCalls* Native();

  /// Which file a descriptor is: device and inode.
  struct FileId {
    uint64_t device = 0;
    uint64_t inode = 0;
    bool operator==(const FileId&) const = default;
  };

  virtual int Open(const char* path);  ///< read-only, close-on-exec
  virtual ssize_t Pread(int fd, void* buffer, size_t length, off_t offset);
  virtual int Identify(int fd, FileId* id);
  virtual int Close(int fd);

  /// sysinfo(2): what is left where /proc/meminfo is hidden.
  virtual int SystemInfo(int64_t* total, int64_t* free, int64_t* swap_free);
  /// getrusage(2): the peak resident set of this process, or of the one that executed it.
  virtual int PeakResident(int64_t* bytes);
  /// getenv(3); null when not set.
  virtual const char* Environment(const char* name);
};

}  // namespace floodwall

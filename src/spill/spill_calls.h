#pragma once

/// The system calls behind spill files. A test derives from it to fail or to fall short at
/// call k; everyone else uses Real().
///
/// Threading: any thread. Errors: -1 and errno, as the calls themselves. Units: bytes.
/// Lifetime: outlives every SpillDirectory made with it.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace floodwall {

class SpillCalls {
 public:
  virtual ~SpillCalls() = default;
  /// Lives for ever.
  static SpillCalls* Real();

  /// Creates a file that must not exist, for reading and writing, by this user only.
  virtual int Create(const char* path);
  virtual ssize_t Pwrite(int fd, const void* data, size_t length, off_t offset);
  virtual ssize_t Pread(int fd, void* out, size_t length, off_t offset);
  virtual int Close(int fd);
  virtual int Unlink(const char* path);
  virtual int MakeDirectory(const char* path);
  virtual int RemoveDirectory(const char* path);
  virtual int OpenDirectory(const char* path);
  /// Takes the one lock of an open directory, waiting for whoever holds it.
  virtual int Lock(int fd);
  /// Bytes that an unprivileged user may still write to the file system of `path`.
  virtual int FreeBytes(const char* path, int64_t* out);
};

}  // namespace floodwall

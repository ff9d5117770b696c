#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>

#include "spill/spill_calls.h"

namespace floodwall::testing {

/// The real calls, counted; the one of number `fail_at` fails with `os_error`.
class FaultySpill final : public SpillCalls {
 public:
  int fail_at = -1;
  int os_error = 0;
  size_t most_a_write = SIZE_MAX;  ///< short writes
  size_t most_a_read = SIZE_MAX;   ///< short reads
  bool interrupted = false;        ///< every second read and write is EINTR
  int64_t free_bytes = -1;         ///< instead of the real figure
  bool locks = true;               ///< false: the file system has none
  /// Called when a directory has been made, as somebody else who looks then.
  std::function<void(const char* path)> after_directory;

  int calls = 0;
  int open_files = 0;

  int Create(const char* path) override {
    if (Fails()) return -1;
    const int fd = SpillCalls::Create(path);
    if (fd >= 0) ++open_files;
    return fd;
  }
  ssize_t Pwrite(int fd, const void* data, size_t length, off_t offset) override {
    if (Fails() || Interrupts()) return -1;
    return SpillCalls::Pwrite(fd, data, std::min(length, most_a_write), offset);
  }
  ssize_t Pread(int fd, void* out, size_t length, off_t offset) override {
    if (Fails() || Interrupts()) return -1;
    return SpillCalls::Pread(fd, out, std::min(length, most_a_read), offset);
  }
  int Close(int fd) override {
    --open_files;
    return SpillCalls::Close(fd);
  }
  int Unlink(const char* path) override { return Fails() ? -1 : SpillCalls::Unlink(path); }
  int MakeDirectory(const char* path) override {
    if (Fails()) return -1;
    const int result = SpillCalls::MakeDirectory(path);
    if (result == 0 && after_directory) after_directory(path);
    return result;
  }
  int OpenDirectory(const char* path) override {
    if (Fails()) return -1;
    const int fd = SpillCalls::OpenDirectory(path);
    if (fd >= 0) ++open_files;
    return fd;
  }
  int Lock(int fd) override {
    errno = ENOLCK;
    return locks ? SpillCalls::Lock(fd) : -1;
  }
  int FreeBytes(const char* path, int64_t* out) override {
    if (Fails()) return -1;
    if (free_bytes < 0) return SpillCalls::FreeBytes(path, out);
    *out = free_bytes;
    return 0;
  }

 private:
  bool Fails() {
    if (calls++ != fail_at) return false;
    errno = os_error;
    return true;
  }
  bool Interrupts() {
    if (!interrupted || (interrupts_++ % 2) == 0) return false;
    errno = EINTR;
    return true;
  }
  int interrupts_ = 0;
};

}  // namespace floodwall::testing

#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>

#include "probe/kernel_calls.h"

namespace floodwall::testing {

/// The real calls with faults where a test sets them.
class FaultyKernel final : public KernelCalls {
 public:
  std::function<int(const std::string& path)> open_error;  ///< errno, 0 for none
  std::function<int()> pread_error;                        ///< errno, 0 for none
  size_t most_a_read = SIZE_MAX;                           ///< short reads
  bool has_system_info = true;
  std::function<const char*(const std::string&)> environment;
  int opens = 0;
  int closes = 0;
  int preads = 0;

  int Open(const char* path) override {
    ++opens;
    if (const int error = open_error ? open_error(path) : 0) return Fail(error);
    return KernelCalls::Open(path);
  }
  ssize_t Pread(int fd, void* buffer, size_t length, off_t offset) override {
    ++preads;
    if (const int error = pread_error ? pread_error() : 0) return Fail(error);
    return KernelCalls::Pread(fd, buffer, std::min(length, most_a_read), offset);
  }
  int Close(int fd) override {
    ++closes;
    return KernelCalls::Close(fd);
  }
  int SystemInfo(int64_t* total, int64_t* free, int64_t* swap_free) override {
    return has_system_info ? KernelCalls::SystemInfo(total, free, swap_free) : Fail(ENOSYS);
  }
  const char* Environment(const char* name) override {
    return environment ? environment(name) : nullptr;
  }

 private:
  static int Fail(int error) {
    errno = error;
    return -1;
  }
};

}  // namespace floodwall::testing

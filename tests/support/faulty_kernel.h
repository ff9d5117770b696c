#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>

#include "probe/kernel_calls.h"
#include "support/memory_trees.h"

namespace floodwall::testing {

/// The real calls with faults where a test sets them.
class FaultyKernel final : public KernelCalls {
 public:
  std::function<int(const std::string& path)> open_error;  ///< errno, 0 for none
  std::function<int()> pread_error;                        ///< errno, 0 for none
  std::function<int(const std::string& path)> read_error;  ///< errno, 0 for none
  size_t most_a_read = SIZE_MAX;                           ///< short reads
  bool has_system_info = true;
  std::optional<std::array<int64_t, 3>> system_info;  ///< instead of the machine's
  std::function<const char*(const std::string&)> environment;
  int opens = 0;
  int closes = 0;
  int preads = 0;

  /// The calls that are not about files, as in `tree`.
  void Become(const MemoryTree& tree) {
    system_info = tree.system_info;
    has_system_info = tree.system_info.has_value();
    environment = [variables = tree.environment](const std::string& name) -> const char* {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    };
  }

  int Open(const char* path) override {
    ++opens;
    if (const int error = open_error ? open_error(path) : 0) return Fail(error);
    const int fd = KernelCalls::Open(path);
    if (fd >= 0) paths_[fd] = path;
    return fd;
  }
  ssize_t Pread(int fd, void* buffer, size_t length, off_t offset) override {
    ++preads;
    if (const int error = pread_error ? pread_error() : 0) return Fail(error);
    if (const int error = read_error ? read_error(paths_[fd]) : 0) return Fail(error);
    return KernelCalls::Pread(fd, buffer, std::min(length, most_a_read), offset);
  }
  int Close(int fd) override {
    ++closes;
    return KernelCalls::Close(fd);
  }
  int SystemInfo(int64_t* total, int64_t* free, int64_t* swap_free) override {
    if (!has_system_info) return Fail(ENOSYS);
    if (!system_info) return KernelCalls::SystemInfo(total, free, swap_free);
    *total = (*system_info)[0], *free = (*system_info)[1], *swap_free = (*system_info)[2];
    return 0;
  }
  const char* Environment(const char* name) override {
    return environment ? environment(name) : nullptr;
  }

 private:
  std::map<int, std::string> paths_;  ///< of what was opened under a number last

  static int Fail(int error) {
    errno = error;
    return -1;
  }
};

}  // namespace floodwall::testing

#pragma once

/// A new file of a fixed size, mapped for writing: what is stored in it survives the process.
///
/// Its blocks are allocated at the start, so a full disk is met then and not by a signal later; it
/// is locked in memory where that is allowed, so that storing needs no memory of its own.
///
/// Threading: not safe, the owner locks. Errors: as errno. Units: bytes. Lifetime: unmaps.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace floodwall {

class MappedFile {
 public:
  /// Replaces a file at `path` atomically by one that begins with `start`, the rest zeros; whoever
  /// has the old one open or mapped keeps it.
  static std::unique_ptr<MappedFile> Create(const std::string& path, size_t size,
                                            std::span<const char> start, int* error);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// The bytes; empty when somebody has made the file shorter, where a store would be a SIGBUS.
  std::span<char> bytes();

 private:
  MappedFile(int fd, char* data, size_t size) : fd_(fd), data_(data), size_(size) {}

  int fd_;
  char* data_;
  size_t size_;
};

}  // namespace floodwall

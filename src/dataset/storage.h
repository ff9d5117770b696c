#pragma once

/// The operating system's files as the commit sees them: the one place where a merge
/// creates, writes, syncs, renames and removes. A test wraps it to fail or to die at step k.
///
/// Threading: a Storage may be used from any thread, a StagedFile from one at a time.
/// Errors: ErrorKind::kCommit with os_error set. Units: bytes.
/// Lifetime: a Storage outlives every file made from it.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "arrow/result.h"
#include "arrow/status.h"

namespace floodwall {

/// Appends bytes to a file that nobody else sees yet. Unbuffered: callers gather small
/// writes themselves. The destructor closes without syncing.
class StagedFile {
 public:
  virtual ~StagedFile() = default;
  /// Appends length bytes. Short writes and EINTR are completed inside.
  virtual arrow::Status Write(const void* data, int64_t length) = 0;
  /// Appends bytes [offset, offset + length) of the open file source_fd, inside the kernel
  /// where it can (copy_file_range), otherwise through a buffer of at most 1 MiB.
  /// A source that ends early is an error.
  virtual arrow::Status CopyFrom(int source_fd, int64_t offset, int64_t length) = 0;
  /// Cuts the file back to `size`, which must not exceed size().
  virtual arrow::Status Truncate(int64_t size) = 0;
  /// Forces data and metadata to the device (fsync).
  virtual arrow::Status Sync() = 0;
  /// Closes; reports errors that close(2) reports. Idempotent.
  virtual arrow::Status Close() = 0;
  virtual int64_t size() const = 0;
  virtual const std::string& path() const = 0;
};

class Storage {
 public:
  virtual ~Storage() = default;
  /// The real file system. Lives for ever.
  static Storage* Posix();

  /// Creates a new file (O_EXCL) with the given permission bits.
  virtual arrow::Result<std::unique_ptr<StagedFile>> CreateFile(const std::string& path,
                                                                mode_t mode) = 0;
  virtual arrow::Status Rename(const std::string& from, const std::string& to) = 0;
  /// Absent is success: recovery repeats steps.
  virtual arrow::Status Unlink(const std::string& path) = 0;
  /// Existing is success.
  virtual arrow::Status CreateDirectory(const std::string& path, mode_t mode) = 0;
  arrow::Status CreateDirectory(const std::string& path) { return CreateDirectory(path, 0777); }
  /// Absent is success; not empty is an error.
  virtual arrow::Status RemoveDirectory(const std::string& path) = 0;
  virtual arrow::Status SyncDirectory(const std::string& path) = 0;
  /// Another name for a file; a symbolic link gets the name itself.
  virtual arrow::Status Link(const std::string& from, const std::string& to) = 0;
  /// Two existing directories change their places in one step.
  virtual arrow::Status Exchange(const std::string& one, const std::string& other) = 0;
  /// Gives the directory `to` the owner, group, access control lists, extended attributes and mode
  /// of the directory `from`. Labels that only the system may set are left to it.
  virtual arrow::Status CopyAttributes(const std::string& from, const std::string& to) = 0;
  virtual arrow::Status SetMode(const std::string& path, mode_t mode) = 0;
};

}  // namespace floodwall

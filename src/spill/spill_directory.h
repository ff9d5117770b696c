#pragma once

/// Where a merge puts what does not fit its memory: files that nobody else sees, under a quota.
///
/// The directory `<parent>/spill-<token>` is made with the first file and removed by the
/// destructor. A file loses its name as soon as it is open, so its bytes return to the file
/// system when it is closed, however the process ends; what a kill can leave is the directory,
/// which recovery of the dataset removes. A plan spills there without the dataset's lock: whoever
/// uses a directory holds a lock on itself, and AbandonedSpill leaves it alone. Where it goes all
/// the same, with the whole old version of an exchanged dataset, the next file makes another.
///
/// Threading: NewFile and path from any thread; a SpillFile's ReadAt from any, Append from one at a
/// time. Errors: kSpill with os_error; a full quota is EDQUOT and names max_spill. Units:
/// bytes. Lifetime: the directory outlives its files.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "arrow/result.h"
#include "spill/spill_calls.h"

namespace floodwall {

class SpillDirectory;

/// One nameless file: appended to, read anywhere.
class SpillFile {
 public:
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  arrow::Status Append(const void* data, int64_t length);
  /// Exactly `length` bytes; a file that ends before is EIO.
  arrow::Status ReadAt(int64_t offset, int64_t length, void* out) const;
  int64_t size() const { return size_; }

 private:
  friend class SpillDirectory;
  SpillFile(SpillDirectory* directory, int fd) : directory_(directory), fd_(fd) {}

  SpillDirectory* directory_;
  const int fd_;
  int64_t size_ = 0;
};

class SpillDirectory {
 public:
  /// Share of the free space that may be used when no quota is given.
  static constexpr int64_t kPercentOfFree = 90;

  /// parent: made when missing. max_bytes: quota, -1 for kPercentOfFree at first use.
  /// on_spilled, may be empty: called with the bytes of each write, from any thread.
  SpillDirectory(std::string parent, int64_t max_bytes,
                 std::function<void(int64_t)> on_spilled = {},
                 SpillCalls* calls = SpillCalls::Real());
  ~SpillDirectory();
  SpillDirectory(const SpillDirectory&) = delete;
  SpillDirectory& operator=(const SpillDirectory&) = delete;

  arrow::Result<std::unique_ptr<SpillFile>> NewFile();

  /// Written in all, freed files included.
  int64_t bytes_spilled() const { return spilled_.load(std::memory_order_relaxed); }
  /// In files that are still open.
  int64_t bytes_used() const { return used_.load(std::memory_order_relaxed); }
  /// Where the files are, or will be.
  std::string path() const;

 private:
  friend class SpillFile;
  arrow::Status Open();
  arrow::Status MakeParent();
  arrow::Status TryFile(std::unique_ptr<SpillFile>* file);
  void Close();
  arrow::Status Charge(int64_t bytes);

  const std::string parent_;
  std::string path_;
  const std::function<void(int64_t)> on_spilled_;
  SpillCalls* const calls_;
  mutable std::mutex mutex_;
  bool open_ = false;
  int lock_ = -1;
  bool made_parent_ = false;
  int next_ = 0;
  const bool own_quota_;
  std::atomic<int64_t> max_bytes_;
  std::atomic<int64_t> used_{0};
  std::atomic<int64_t> spilled_{0};
};

/// A spill directory that nobody uses, held so while it is being removed.
class AbandonedSpill {
 public:
  explicit AbandonedSpill(const std::string& path);
  ~AbandonedSpill();
  AbandonedSpill(const AbandonedSpill&) = delete;
  AbandonedSpill& operator=(const AbandonedSpill&) = delete;
  /// False while somebody spills there.
  bool is_abandoned() const { return is_abandoned_; }

 private:
  int fd_;
  bool is_abandoned_ = true;
};

}  // namespace floodwall

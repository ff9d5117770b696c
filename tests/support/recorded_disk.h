#pragma once

/// What a disk may show after a power loss: every change below a directory is recorded, and the
/// tree that is left when the power goes before change k can be built, by several rules.
///
/// The rules are the weakest that a merge relies on: data of a file is safe once the file was
/// synced, a change of names once one of its directories was synced after it. A rename or an
/// exchange happens whole or not at all. All else may be lost, each change by itself, whatever came
/// later. Real file systems keep more.
///
/// Threading: recording from any thread, building from one. Units: bytes. Lifetime: values.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "support/faulty_storage.h"

namespace floodwall::testing {

/// Which of the changes that were not synced are on the disk.
struct PowerLoss {
  enum Kind {
    kUnsyncedIsLost,    ///< none
    kNothingIsLost,     ///< all
    kLaterIsLost,       ///< those of names before one of them, by seed; data as in kAnything
    kNamesWithoutData,  ///< all names, no data
    kAnything,          ///< each or not, by seed; of data a part, or zeros in its place
  };
  Kind kind = kUnsyncedIsLost;
  uint32_t seed = 0;
};

class RecordedDisk {
 public:
  /// What is below `top` now is safe.
  explicit RecordedDisk(const std::string& top);

  int changes() const { return static_cast<int>(changes_.size()); }
  /// Writes into the empty directory `to` what is there when the power goes before change k.
  void Build(int k, const PowerLoss& loss, const std::string& to) const;

  // What happened, told after it did.
  void CreateFile(const std::string& path, mode_t mode);
  void Write(const std::string& path, int64_t offset, const std::string& bytes);
  void Truncate(const std::string& path, int64_t size);
  void SyncFile(const std::string& path);
  void Rename(const std::string& from, const std::string& to);
  void Unlink(const std::string& path);
  void CreateDirectory(const std::string& path, mode_t mode);
  void SyncDirectory(const std::string& path);
  void Link(const std::string& from, const std::string& to);
  void Exchange(const std::string& one, const std::string& other);
  void SetMode(const std::string& path, mode_t mode);

 private:
  static constexpr int kNone = -1;
  struct Node {
    bool is_directory = false;
    mode_t mode = 0;
    std::string data;
    std::map<std::string, int> names;
  };
  struct Entry {
    int directory;
    std::string name;
    int node;  ///< kNone: the name goes
  };
  struct Change {
    enum Kind { kNames, kWrite, kTruncate, kSync, kMode } kind;
    std::vector<Entry> entries{};  ///< kNames
    int node = kNone;              ///< the others
    int64_t offset = 0;
    std::string bytes{};
    mode_t mode = 0;
  };

  int Scan(const std::string& path);
  int NewNode(bool is_directory, mode_t mode);
  /// Of what is there now; kNone for what was made past the recording.
  int Find(const std::string& path) const;
  Entry Place(const std::string& path, int node) const;
  void Add(Change change);
  static void Apply(const Change& change, std::vector<Node>* nodes);
  std::vector<bool> Surviving(int k, const PowerLoss& loss, uint64_t* state) const;
  std::vector<Node> After(int k, const PowerLoss& loss) const;

  const std::string top_;
  mutable std::mutex mutex_;
  std::vector<Node> first_;  ///< nodes made later are empty here
  std::vector<Node> now_;
  std::vector<Change> changes_;
};

/// The real file system but for syncs, which are only recorded.
class RecordingStorage final : public ForwardingStorage {
 public:
  explicit RecordingStorage(RecordedDisk* disk) : disk_(disk) {}

  arrow::Result<std::unique_ptr<StagedFile>> CreateFile(const std::string& path,
                                                        mode_t mode) override;
  arrow::Status Rename(const std::string& from, const std::string& to) override;
  arrow::Status Unlink(const std::string& path) override;
  arrow::Status CreateDirectory(const std::string& path, mode_t mode) override;
  arrow::Status RemoveDirectory(const std::string& path) override;
  arrow::Status SyncDirectory(const std::string& path) override;
  arrow::Status Link(const std::string& from, const std::string& to) override;
  arrow::Status Exchange(const std::string& one, const std::string& other) override;
  arrow::Status CopyAttributes(const std::string& from, const std::string& to) override;
  arrow::Status SetMode(const std::string& path, mode_t mode) override;

 private:
  RecordedDisk* disk_;
};

}  // namespace floodwall::testing

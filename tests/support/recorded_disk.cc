#include "support/recorded_disk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace floodwall::testing {
namespace {

namespace fs = std::filesystem;

mode_t ModeOf(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

std::string TextOf(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

RecordedDisk::RecordedDisk(const std::string& top) : top_(top) {
  Scan(top_);
  first_ = now_;
}

int RecordedDisk::NewNode(bool is_directory, mode_t mode) {
  now_.push_back({is_directory, mode, {}, {}});
  return static_cast<int>(now_.size()) - 1;
}

int RecordedDisk::Scan(const std::string& path) {
  const int node = NewNode(fs::is_directory(path), ModeOf(path));
  if (!now_[static_cast<size_t>(node)].is_directory) {
    now_[static_cast<size_t>(node)].data = TextOf(path);
    return node;
  }
  for (const auto& entry : fs::directory_iterator(path)) {
    const int below = Scan(entry.path().string());
    now_[static_cast<size_t>(node)].names[entry.path().filename().string()] = below;
  }
  return node;
}

int RecordedDisk::Find(const std::string& path) const {
  int node = 0;
  for (const auto& part : fs::path(path).lexically_relative(top_)) {
    if (part == ".") continue;
    const auto& names = now_[static_cast<size_t>(node)].names;
    const auto found = names.find(part.string());
    if (found == names.end()) return kNone;
    node = found->second;
  }
  return node;
}

RecordedDisk::Entry RecordedDisk::Place(const std::string& path, int node) const {
  const fs::path whole(path);
  return {Find(whole.parent_path().string()), whole.filename().string(), node};
}

void RecordedDisk::Add(Change change) {
  // A directory above the recorded one is changed by nobody.
  for (const Entry& entry : change.entries) {
    if (entry.directory == kNone) std::abort();
  }
  Apply(change, &now_);
  changes_.push_back(std::move(change));
}

void RecordedDisk::Apply(const Change& change, std::vector<Node>* nodes) {
  for (const Entry& entry : change.entries) {
    auto& names = (*nodes)[static_cast<size_t>(entry.directory)].names;
    names.erase(entry.name);
    if (entry.node != kNone) names[entry.name] = entry.node;
  }
  if (change.node == kNone) return;
  Node& node = (*nodes)[static_cast<size_t>(change.node)];
  const auto offset = static_cast<size_t>(change.offset);
  if (change.kind == Change::kWrite) {
    if (node.data.size() < offset + change.bytes.size()) {
      node.data.resize(offset + change.bytes.size());
    }
    node.data.replace(offset, change.bytes.size(), change.bytes);
  } else if (change.kind == Change::kTruncate) {
    node.data.resize(offset);
  } else if (change.kind == Change::kMode) {
    node.mode = change.mode;
  }
}

void RecordedDisk::CreateFile(const std::string& path, mode_t mode) {
  const std::lock_guard lock(mutex_);
  Add({.kind = Change::kNames, .entries = {Place(path, NewNode(false, mode))}});
}

void RecordedDisk::Write(const std::string& path, int64_t offset, const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  Add({.kind = Change::kWrite, .node = Find(path), .offset = offset, .bytes = bytes});
}

void RecordedDisk::Truncate(const std::string& path, int64_t size) {
  const std::lock_guard lock(mutex_);
  Add({.kind = Change::kTruncate, .node = Find(path), .offset = size});
}

void RecordedDisk::SyncFile(const std::string& path) { SyncDirectory(path); }

void RecordedDisk::SyncDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const int node = Find(path);
  if (node != kNone) Add({.kind = Change::kSync, .node = node});
}

void RecordedDisk::Rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  Add({.kind = Change::kNames, .entries = {Place(from, kNone), Place(to, Find(from))}});
}

void RecordedDisk::Unlink(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Find(path) != kNone) Add({.kind = Change::kNames, .entries = {Place(path, kNone)}});
}

void RecordedDisk::CreateDirectory(const std::string& path, mode_t mode) {
  const std::lock_guard lock(mutex_);
  if (Find(path) != kNone) return;
  Add({.kind = Change::kNames, .entries = {Place(path, NewNode(true, mode))}});
}

void RecordedDisk::Link(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  // The lock's file is opened past the storage.
  int node = Find(from);
  if (node == kNone) node = NewNode(false, ModeOf(from));
  Add({.kind = Change::kNames, .entries = {Place(to, node)}});
}

void RecordedDisk::Exchange(const std::string& one, const std::string& other) {
  const std::lock_guard lock(mutex_);
  Add({.kind = Change::kNames, .entries = {Place(one, Find(other)), Place(other, Find(one))}});
}

void RecordedDisk::SetMode(const std::string& path, mode_t mode) {
  const std::lock_guard lock(mutex_);
  const int node = Find(path);
  if (node != kNone) Add({.kind = Change::kMode, .node = node, .mode = mode});
}

std::vector<bool> RecordedDisk::Surviving(int k, const PowerLoss& loss, uint64_t* state) const {
  std::minstd_rand random(static_cast<uint32_t>(*state));
  const auto count = static_cast<size_t>(k);
  std::vector<bool> out(count, false);
  const size_t kept = count == 0 ? 0 : random() % (count + 1);
  std::vector<bool> synced(now_.size(), false);  // after the change that is looked at
  for (size_t i = count; i-- > 0;) {
    const Change& change = changes_[i];
    if (change.kind == Change::kSync) synced[static_cast<size_t>(change.node)] = true;
    bool safe = change.node != kNone && synced[static_cast<size_t>(change.node)];
    for (const Entry& entry : change.entries) {
      safe = safe || synced[static_cast<size_t>(entry.directory)];
    }
    const bool names = change.kind == Change::kNames;
    switch (loss.kind) {
      case PowerLoss::kUnsyncedIsLost: out[i] = safe; break;
      case PowerLoss::kNothingIsLost: out[i] = true; break;
      case PowerLoss::kNamesWithoutData: out[i] = safe || names; break;
      case PowerLoss::kLaterIsLost: out[i] = safe || (names ? i < kept : random() % 2 == 0); break;
      case PowerLoss::kAnything: out[i] = safe || random() % 2 == 0; break;
    }
  }
  *state = random();
  return out;
}

std::vector<RecordedDisk::Node> RecordedDisk::After(int k, const PowerLoss& loss) const {
  uint64_t state = loss.seed * 7919U + static_cast<uint32_t>(k) + 1;
  const std::vector<bool> survives = Surviving(k, loss, &state);
  std::minstd_rand random(static_cast<uint32_t>(state));
  const bool damages = loss.kind == PowerLoss::kLaterIsLost || loss.kind == PowerLoss::kAnything;
  std::vector<Node> nodes = first_;
  nodes.resize(now_.size());
  for (size_t i = first_.size(); i < nodes.size(); ++i) {
    nodes[i] = {now_[i].is_directory, now_[i].mode, {}, {}};
  }
  for (int i = 0; i < k; ++i) {
    const Change& change = changes_[static_cast<size_t>(i)];
    if (survives[static_cast<size_t>(i)]) {
      Apply(change, &nodes);
    } else if (damages && change.kind == Change::kWrite && random() % 3 != 0) {
      // The size may be on the disk before the data, or a part of the data.
      Change part = change;
      const bool zeros = random() % 2 == 0;
      if (zeros) std::fill(part.bytes.begin(), part.bytes.end(), '\0');
      if (!zeros) part.bytes.resize(random() % (part.bytes.size() + 1));
      Apply(part, &nodes);
    }
  }
  return nodes;
}

void RecordedDisk::Build(int k, const PowerLoss& loss, const std::string& to) const {
  const std::vector<Node> nodes = After(k, loss);
  const std::function<void(int, const std::string&)> write = [&](int id, const std::string& path) {
    const Node& node = nodes[static_cast<size_t>(id)];
    if (node.is_directory) {
      fs::create_directory(path);
      for (const auto& [name, below] : node.names) write(below, path + "/" + name);
    } else {
      std::ofstream(path, std::ios::binary) << node.data;
    }
    if (id != 0) ::chmod(path.c_str(), node.mode);
  };
  write(0, to);
}

namespace {

class RecordedFile final : public StagedFile {
 public:
  RecordedFile(RecordedDisk* disk, std::unique_ptr<StagedFile> file)
      : disk_(disk), file_(std::move(file)) {}

  arrow::Status Write(const void* data, int64_t length) override {
    const int64_t offset = size();
    ARROW_RETURN_NOT_OK(file_->Write(data, length));
    disk_->Write(path(), offset,
                 std::string(static_cast<const char*>(data), static_cast<size_t>(length)));
    return arrow::Status::OK();
  }
  arrow::Status CopyFrom(int source_fd, int64_t offset, int64_t length) override {
    const int64_t at = size();
    ARROW_RETURN_NOT_OK(file_->CopyFrom(source_fd, offset, length));
    std::string bytes(static_cast<size_t>(length), '\0');
    if (::pread(source_fd, bytes.data(), bytes.size(), offset) != length) std::abort();
    disk_->Write(path(), at, bytes);
    return arrow::Status::OK();
  }
  arrow::Status Truncate(int64_t size) override {
    ARROW_RETURN_NOT_OK(file_->Truncate(size));
    disk_->Truncate(path(), size);
    return arrow::Status::OK();
  }
  arrow::Status Sync() override {
    disk_->SyncFile(path());
    return arrow::Status::OK();
  }
  arrow::Status Close() override { return file_->Close(); }
  int64_t size() const override { return file_->size(); }
  const std::string& path() const override { return file_->path(); }

 private:
  RecordedDisk* disk_;
  std::unique_ptr<StagedFile> file_;
};

}  // namespace

arrow::Result<std::unique_ptr<StagedFile>> RecordingStorage::CreateFile(const std::string& path,
                                                                        mode_t mode) {
  ARROW_ASSIGN_OR_RAISE(auto file, ForwardingStorage::CreateFile(path, mode));
  disk_->CreateFile(path, mode);
  return std::make_unique<RecordedFile>(disk_, std::move(file));
}

arrow::Status RecordingStorage::Rename(const std::string& from, const std::string& to) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::Rename(from, to));
  disk_->Rename(from, to);
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::Unlink(const std::string& path) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::Unlink(path));
  disk_->Unlink(path);
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::CreateDirectory(const std::string& path, mode_t mode) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::CreateDirectory(path, mode));
  disk_->CreateDirectory(path, ModeOf(path));
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::RemoveDirectory(const std::string& path) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::RemoveDirectory(path));
  disk_->Unlink(path);
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::SyncDirectory(const std::string& path) {
  if (!fs::is_directory(path)) return ForwardingStorage::SyncDirectory(path);
  disk_->SyncDirectory(path);
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::Link(const std::string& from, const std::string& to) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::Link(from, to));
  disk_->Link(from, to);
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::Exchange(const std::string& one, const std::string& other) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::Exchange(one, other));
  disk_->Exchange(one, other);
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::CopyAttributes(const std::string& from, const std::string& to) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::CopyAttributes(from, to));
  disk_->SetMode(to, ModeOf(to));
  return arrow::Status::OK();
}

arrow::Status RecordingStorage::SetMode(const std::string& path, mode_t mode) {
  ARROW_RETURN_NOT_OK(ForwardingStorage::SetMode(path, mode));
  disk_->SetMode(path, mode);
  return arrow::Status::OK();
}

}  // namespace floodwall::testing

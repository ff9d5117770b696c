#pragma once

#include <cerrno>
#include <functional>
#include <memory>
#include <string>

#include "dataset/storage.h"
#include "floodwall/error.h"

namespace floodwall::testing {

/// The real file system, or another one; a test overrides what it wants to see or to fail.
class ForwardingStorage : public Storage {
 public:
  explicit ForwardingStorage(Storage* base = Storage::Posix()) : base_(base) {}

  arrow::Result<std::unique_ptr<StagedFile>> CreateFile(const std::string& path,
                                                        mode_t mode) override {
    return base_->CreateFile(path, mode);
  }
  arrow::Status Rename(const std::string& from, const std::string& to) override {
    return base_->Rename(from, to);
  }
  arrow::Status Unlink(const std::string& path) override { return base_->Unlink(path); }
  arrow::Status CreateDirectory(const std::string& path, mode_t mode) override {
    return base_->CreateDirectory(path, mode);
  }
  arrow::Status RemoveDirectory(const std::string& path) override {
    return base_->RemoveDirectory(path);
  }
  arrow::Status SyncDirectory(const std::string& path) override {
    return base_->SyncDirectory(path);
  }
  arrow::Status Link(const std::string& from, const std::string& to) override {
    return base_->Link(from, to);
  }
  arrow::Status Exchange(const std::string& one, const std::string& other) override {
    return base_->Exchange(one, other);
  }
  arrow::Status CopyAttributes(const std::string& from, const std::string& to) override {
    return base_->CopyAttributes(from, to);
  }
  arrow::Status SetMode(const std::string& path, mode_t mode) override {
    return base_->SetMode(path, mode);
  }

 private:
  Storage* base_;
};

/// The real file system until operation `fail_at`: that one fails with `os_error`; when `dies`,
/// everything after it fails too and has no effect, as if the process had been killed there.
class FaultyStorage final : public ForwardingStorage {
 public:
  FaultyStorage(int fail_at, int os_error, bool dies, Storage* base = Storage::Posix())
      : ForwardingStorage(base), fail_at_(fail_at), os_error_(os_error), dies_(dies) {}

  int operations() const { return operations_; }
  /// Called before each operation, as somebody else who looks at the files then.
  void BeforeEach(std::function<void()> look) { look_ = std::move(look); }

  arrow::Result<std::unique_ptr<StagedFile>> CreateFile(const std::string& path,
                                                        mode_t mode) override {
    ARROW_RETURN_NOT_OK(Step(path));
    ARROW_ASSIGN_OR_RAISE(auto file, ForwardingStorage::CreateFile(path, mode));
    return std::make_unique<File>(this, std::move(file));
  }
  arrow::Status Rename(const std::string& from, const std::string& to) override {
    ARROW_RETURN_NOT_OK(Step(to));
    return ForwardingStorage::Rename(from, to);
  }
  arrow::Status Unlink(const std::string& path) override {
    ARROW_RETURN_NOT_OK(Step(path));
    return ForwardingStorage::Unlink(path);
  }
  arrow::Status CreateDirectory(const std::string& path, mode_t mode) override {
    ARROW_RETURN_NOT_OK(Step(path));
    return ForwardingStorage::CreateDirectory(path, mode);
  }
  arrow::Status Link(const std::string& from, const std::string& to) override {
    ARROW_RETURN_NOT_OK(Step(to));
    return ForwardingStorage::Link(from, to);
  }
  arrow::Status Exchange(const std::string& one, const std::string& other) override {
    ARROW_RETURN_NOT_OK(Step(other));
    return ForwardingStorage::Exchange(one, other);
  }
  arrow::Status CopyAttributes(const std::string& from, const std::string& to) override {
    ARROW_RETURN_NOT_OK(Step(to));
    return ForwardingStorage::CopyAttributes(from, to);
  }
  arrow::Status SetMode(const std::string& path, mode_t mode) override {
    ARROW_RETURN_NOT_OK(Step(path));
    return ForwardingStorage::SetMode(path, mode);
  }
  arrow::Status RemoveDirectory(const std::string& path) override {
    ARROW_RETURN_NOT_OK(Step(path));
    return ForwardingStorage::RemoveDirectory(path);
  }
  arrow::Status SyncDirectory(const std::string& path) override {
    ARROW_RETURN_NOT_OK(Step(path));
    return ForwardingStorage::SyncDirectory(path);
  }

 private:
  class File final : public StagedFile {
   public:
    File(FaultyStorage* storage, std::unique_ptr<StagedFile> file)
        : storage_(storage), file_(std::move(file)) {}
    arrow::Status Write(const void* data, int64_t length) override {
      ARROW_RETURN_NOT_OK(storage_->Step(path()));
      return file_->Write(data, length);
    }
    arrow::Status CopyFrom(int source_fd, int64_t offset, int64_t length) override {
      ARROW_RETURN_NOT_OK(storage_->Step(path()));
      return file_->CopyFrom(source_fd, offset, length);
    }
    arrow::Status Truncate(int64_t size) override {
      ARROW_RETURN_NOT_OK(storage_->Step(path()));
      return file_->Truncate(size);
    }
    arrow::Status Sync() override {
      ARROW_RETURN_NOT_OK(storage_->Step(path()));
      return file_->Sync();
    }
    arrow::Status Close() override { return file_->Close(); }
    int64_t size() const override { return file_->size(); }
    const std::string& path() const override { return file_->path(); }

   private:
    FaultyStorage* storage_;
    std::unique_ptr<StagedFile> file_;
  };

  arrow::Status Step(const std::string& path) {
    if (look_) look_();
    const int step = operations_++;
    if (step == fail_at_ || (dies_ && step > fail_at_)) {
      return MakeOsError(ErrorKind::kCommit, os_error_, "injected", path);
    }
    return arrow::Status::OK();
  }

  const int fail_at_;
  const int os_error_;
  const bool dies_;
  int operations_ = 0;
  std::function<void()> look_;
};

}  // namespace floodwall::testing

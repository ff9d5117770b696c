#include "dataset/tree.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "floodwall/error.h"

namespace floodwall {
namespace {

/// Somebody who does not know the lock may add files while a directory is being removed.
constexpr int kRemoveAttempts = 5;

arrow::Status CannotLook(int error, const std::string& path) {
  return MakeOsError(ErrorKind::kCommit, error, "cannot look at", path);
}

class TreeRemover {
 public:
  TreeRemover(Storage* storage, std::string root, const RescueFile& rescue)
      : storage_(storage), root_(std::move(root)), rescue_(rescue) {}

  arrow::Result<int64_t> Run() {
    struct stat info{};
    if (::lstat(root_.c_str(), &info) != 0) {
      if (errno == ENOENT) return 0;
      return CannotLook(errno, root_);
    }
    device_ = info.st_dev;
    ARROW_RETURN_NOT_OK(RemoveDirectory("", info.st_mode));
    return bytes_;
  }

 private:
  std::string PathOf(const std::string& relative) const {
    return relative.empty() ? root_ : root_ + "/" + relative;
  }

  arrow::Status RemoveDirectory(const std::string& relative, mode_t mode) {
    const std::string directory = PathOf(relative);
    // A directory without write permission can have been copied, but not be emptied.
    if ((mode & S_IRWXU) != S_IRWXU) {
      ARROW_RETURN_NOT_OK(storage_->SetMode(directory, (mode & 07777) | S_IRWXU));
    }
    for (int attempt = 1;; ++attempt) {
      ARROW_ASSIGN_OR_RAISE(const auto names, ReadNames(directory));
      for (const std::string& name : names) {
        ARROW_RETURN_NOT_OK(RemoveEntry(relative.empty() ? name : relative + "/" + name));
      }
      const arrow::Status removed = storage_->RemoveDirectory(directory);
      const ErrorDetail* detail = ErrorDetail::From(removed);
      if (detail == nullptr || detail->os_error != ENOTEMPTY || attempt == kRemoveAttempts) {
        return removed;
      }
    }
  }

  arrow::Status RemoveEntry(const std::string& relative) {
    const std::string path = PathOf(relative);
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) return arrow::Status::OK();
      return CannotLook(errno, path);
    }
    if (S_ISDIR(info.st_mode)) {
      if (info.st_dev != device_) return CannotLook(EXDEV, path);
      return RemoveDirectory(relative, info.st_mode);
    }
    if (rescue_) {
      ARROW_ASSIGN_OR_RAISE(const bool rescued, rescue_(relative));
      if (rescued) return arrow::Status::OK();
    }
    if (info.st_nlink == 1) bytes_ += info.st_size;
    return storage_->Unlink(path);
  }

  Storage* storage_;
  const std::string root_;
  const RescueFile& rescue_;
  dev_t device_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace

bool Exists(const std::string& path, int64_t* size) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return false;
  if (size != nullptr) *size = info.st_size;
  return true;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

arrow::Result<std::vector<std::string>> ReadNames(const std::string& directory) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(directory.c_str()), ::closedir);
  if (!handle) {
    if (errno == ENOENT) return names;
    return MakeOsError(ErrorKind::kCommit, errno, "cannot read directory", directory);
  }
  errno = 0;
  while (const dirent* entry = ::readdir(handle.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) {
    return MakeOsError(ErrorKind::kCommit, errno, "cannot read directory", directory);
  }
  return names;
}

std::vector<std::string> NamesIn(const std::string& directory) {
  return ReadNames(directory).ValueOr({});
}

arrow::Status CreateParents(Storage* storage, const std::string& root,
                            const std::string& relative_path, std::set<std::string>* to_sync) {
  for (size_t slash = relative_path.find('/'); slash != std::string::npos;
       slash = relative_path.find('/', slash + 1)) {
    const std::string directory = root + "/" + relative_path.substr(0, slash);
    if (!Exists(directory)) ARROW_RETURN_NOT_OK(storage->CreateDirectory(directory));
    to_sync->insert(ParentOf(directory));
  }
  return arrow::Status::OK();
}

arrow::Status SyncDirectories(Storage* storage, const std::set<std::string>& directories) {
  for (const std::string& directory : directories) {
    ARROW_RETURN_NOT_OK(storage->SyncDirectory(directory));
  }
  return arrow::Status::OK();
}

arrow::Result<int64_t> RemoveTree(Storage* storage, const std::string& path,
                                  const RescueFile& rescue) {
  return TreeRemover(storage, path, rescue).Run();
}

}  // namespace floodwall

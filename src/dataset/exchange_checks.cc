#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "dataset/exchange.h"
#include "dataset/tree.h"
#include "floodwall/error.h"
#include "spill/spill_directory.h"

namespace floodwall {
namespace {

constexpr int kProbeAttempts = 5;

arrow::Status Refuse(const std::string& root, const std::string& why) {
  return MakeError(ErrorKind::kInvalidMerge, "snapshot='exchange' is not possible for '" + root +
                                                 "': " + why + "; use snapshot='in_place'");
}

bool MayUse(const std::string& path, int access) {
  return ::faccessat(AT_FDCWD, path.c_str(), access, AT_EACCESS) == 0;
}

/// The root of a mount, also of one that shows another place of the same file system.
bool IsMountRoot(const std::string& path) {
#ifdef STATX_ATTR_MOUNT_ROOT
  struct statx info{};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0) {
    return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  }
#endif
  (void)path;
  return false;
}

class TreeCheck {
 public:
  explicit TreeCheck(const std::string& root) : root_(root), user_(::geteuid()) {
    groups_.resize(static_cast<size_t>(std::max(0, ::getgroups(0, nullptr))));
    if (::getgroups(static_cast<int>(groups_.size()), groups_.data()) < 0) groups_.clear();
    groups_.push_back(::getegid());
  }

  arrow::Status Directory(const std::string& path, const struct stat& info, dev_t device,
                          bool is_data) {
    if (info.st_dev != device || IsMountRoot(path)) {
      return Refuse(root_, "'" + path + "' is a mount point or a file system of its own");
    }
    const bool keeps_owner = info.st_uid == user_ && std::find(groups_.begin(), groups_.end(),
                                                               info.st_gid) != groups_.end();
    if (user_ != 0 && !keeps_owner) {
      return Refuse(root_, "directory '" + path +
                               "' has another owner or group, which its copy could not get");
    }
    ARROW_ASSIGN_OR_RAISE(const auto names, ReadNames(path));
    for (const std::string& name : names) {
      const bool data = is_data && name[0] != '.' && name[0] != '_';
      ARROW_RETURN_NOT_OK(Entry(path + "/" + name, device, data));
    }
    return arrow::Status::OK();
  }

 private:
  arrow::Status Entry(const std::string& path, dev_t device, bool is_data) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) return arrow::Status::OK();
      return MakeOsError(ErrorKind::kCommit, errno, "cannot look at", path);
    }
    if (S_ISDIR(info.st_mode)) return Directory(path, info, device, is_data);
    struct stat behind{};
    if (S_ISLNK(info.st_mode) && is_data && ::stat(path.c_str(), &behind) == 0 &&
        S_ISDIR(behind.st_mode)) {
      return Refuse(root_, "'" + path + "' is a link to a directory outside");
    }
    // The system lets nobody make another name for a file that is neither his nor open to him.
    if (user_ != 0 && info.st_uid != user_ &&
        !(S_ISREG(info.st_mode) && MayUse(path, R_OK | W_OK))) {
      return Refuse(root_, "'" + path + "' has another owner and cannot be linked");
    }
    return arrow::Status::OK();
  }

  const std::string& root_;
  const uid_t user_;
  std::vector<gid_t> groups_;
};

bool HoldsCurrentDirectory(const std::string& root) {
  char current[PATH_MAX];
  char real[PATH_MAX];
  if (::getcwd(current, sizeof(current)) == nullptr) return false;
  if (::realpath(root.c_str(), real) == nullptr) return false;
  const size_t length = std::strlen(real);
  return std::strncmp(current, real, length) == 0 &&
         (current[length] == '\0' || current[length] == '/');
}

arrow::Status CheckParent(const std::string& root, const std::string& parent) {
  if (MayUse(parent, W_OK | X_OK)) return arrow::Status::OK();
  return Refuse(root, "its parent '" + parent + "' must be a directory that can be written (" +
                          std::strerror(errno) + ")");
}

}  // namespace

arrow::Status SnapshotExchange::Check(const DatasetListing& listing) {
  const std::string& root = listing.root;
#ifndef __linux__
  return Refuse(root, "only Linux exchanges two directories in one step");
#endif
  if (listing.single_file) {
    return Refuse(listing.AbsolutePath(listing.files.front().relative_path),
                  "it must be a directory, and is a single file");
  }
  const std::string name = root.substr(root.rfind('/') + 1);
  struct stat info{};
  if (::lstat(root.c_str(), &info) != 0) {
    if (errno != ENOENT) return MakeOsError(ErrorKind::kCommit, errno, "cannot look at", root);
    std::string ancestor = ParentOf(root);
    while (ancestor != "/" && !Exists(ancestor)) ancestor = ParentOf(ancestor);
    return CheckParent(root, ancestor);
  }
  if (name.empty()) return Refuse(root, "it is a mount point");
  if (HoldsCurrentDirectory(root)) {
    return Refuse(root,
                  "the current directory of this process is inside, and would be removed with the "
                  "old version");
  }
  if (name == "." || name == "..") return Refuse(root, "the path must end in the dataset's name");
  if (S_ISLNK(info.st_mode)) return Refuse(root, "it is a symbolic link; name what it leads to");
  const std::string parent = ParentOf(root);
  struct stat around{};
  if (::stat(parent.c_str(), &around) != 0) {
    return MakeOsError(ErrorKind::kCommit, errno, "cannot look at", parent);
  }
  ARROW_RETURN_NOT_OK(TreeCheck(root).Directory(root, info, around.st_dev, true));
  return CheckParent(root, parent);
}

arrow::Status SnapshotExchange::Probe(Storage* storage, const std::string& root,
                                      const std::string& directory) {
  auto tried = [&]() -> arrow::Status {
    for (const char* below : {"", "/a", "/b"}) {
      ARROW_RETURN_NOT_OK(storage->CreateDirectory(directory + below, 0700));
    }
    ARROW_ASSIGN_OR_RAISE(auto file, storage->CreateFile(directory + "/a/one", 0600));
    ARROW_RETURN_NOT_OK(file->Close());
    ARROW_RETURN_NOT_OK(storage->Link(directory + "/a/one", directory + "/b/other"));
    return storage->Exchange(directory + "/a", directory + "/b");
  }();
  const auto removed = RemoveTree(storage, directory);
  if (tried.ok()) return removed.status();
  const ErrorDetail* detail = ErrorDetail::From(tried);
  const int error = detail == nullptr ? 0 : detail->os_error;
  for (const int unsupported : {EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EXDEV, EMLINK}) {
    if (error == unsupported) {
      return Refuse(root, "the file system must have hard links and exchange directories (" +
                              tried.message() + ")");
    }
  }
  return tried;
}

arrow::Status SnapshotExchange::ProbeWithoutLock(Storage* storage, const std::string& root) {
  if (!Exists(root)) return arrow::Status::OK();
  for (int attempt = 1;; ++attempt) {
    SpillDirectory place(root + "/_floodwall", 0);
    ARROW_RETURN_NOT_OK(place.NewFile().status());
    const arrow::Status status = Probe(storage, root, place.path() + "/probe");
    const ErrorDetail* detail = ErrorDetail::From(status);
    // Gone with the old version that another process has just exchanged.
    const bool gone = detail != nullptr && detail->os_error == ENOENT && !Exists(place.path());
    if (!gone || attempt == kProbeAttempts) return status;
  }
}

}  // namespace floodwall

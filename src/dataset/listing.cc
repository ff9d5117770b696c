#include "dataset/listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <set>

#include "floodwall/error.h"

namespace floodwall {
namespace {

using Identity = std::pair<dev_t, ino_t>;

bool IsParquetName(const std::string& name) {
  return name.size() > 8 && name.compare(name.size() - 8, 8, ".parquet") == 0;
}

arrow::Status CannotRead(int error, const std::string& path) {
  return MakeOsError(ErrorKind::kCommit, error, "cannot read the dataset", path);
}

DatasetFile FileOf(std::string relative_path, const struct stat& info) {
  DatasetFile file;
  file.relative_path = std::move(relative_path);
  file.version.size_bytes = info.st_size;
  file.version.mtime_ns = info.st_mtim.tv_sec * 1000000000LL + info.st_mtim.tv_nsec;
  file.version.inode = info.st_ino;
  file.mode = info.st_mode & 07777;
  return file;
}

/// `ancestors` are the directories being walked: a link back to one of them is a cycle.
arrow::Status Walk(const std::string& root, const std::string& below, std::set<Identity>* ancestors,
                   std::vector<DatasetFile>* files) {
  const std::string directory = below.empty() ? root : root + "/" + below;
  std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(directory.c_str()), ::closedir);
  if (!handle) return CannotRead(errno, directory);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(handle.get())) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && name[0] != '_') names.push_back(name);
    errno = 0;
  }
  if (errno != 0) return CannotRead(errno, directory);
  handle.reset();  // one descriptor at a time, however deep the tree
  for (const std::string& name : names) {
    const std::string relative = below.empty() ? name : below + "/" + name;
    struct stat info{};
    if (::stat((root + "/" + relative).c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ELOOP) continue;  // gone meanwhile, or a dangling link
      return CannotRead(errno, root + "/" + relative);
    }
    if (S_ISDIR(info.st_mode)) {
      const Identity identity{info.st_dev, info.st_ino};
      if (!ancestors->insert(identity).second) continue;
      ARROW_RETURN_NOT_OK(Walk(root, relative, ancestors, files));
      ancestors->erase(identity);
    } else if (S_ISREG(info.st_mode) && IsParquetName(name)) {
      files->push_back(FileOf(relative, info));
    }
  }
  return arrow::Status::OK();
}

arrow::Result<std::string> MakeAbsolute(const std::string& path) {
  std::string out = path;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  if (out[0] == '/') return out;
  char buffer[PATH_MAX];
  if (::getcwd(buffer, sizeof(buffer)) == nullptr) return CannotRead(errno, ".");
  return std::string(buffer) + "/" + out;
}

}  // namespace

std::string DatasetListing::AbsolutePath(const std::string& relative_path) const {
  return root + "/" + relative_path;
}

arrow::Result<DatasetListing> ListDataset(const std::string& path) {
  if (path.empty() || path.find_first_not_of(" \t\r\n") == std::string::npos) {
    return MakeError(ErrorKind::kInvalidMerge,
                     "path must name a directory or a Parquet file, got an empty text");
  }
  if (path.find('\0') != std::string::npos) {
    return MakeError(ErrorKind::kInvalidMerge, "path must not contain a NUL byte");
  }
  DatasetListing listing;
  ARROW_ASSIGN_OR_RAISE(listing.root, MakeAbsolute(path));
  struct stat info{};
  if (::stat(listing.root.c_str(), &info) != 0) {
    if (errno == ENOENT) return listing;
    return CannotRead(errno, listing.root);
  }
  if (S_ISREG(info.st_mode)) {
    const size_t slash = listing.root.rfind('/');
    const std::string name = listing.root.substr(slash + 1);
    if (!IsParquetName(name)) {
      return MakeError(ErrorKind::kInvalidMerge,
                       "path must name a directory or a file ending in .parquet: '" + path + "'");
    }
    listing.root = slash == 0 ? "/" : listing.root.substr(0, slash);
    listing.single_file = true;
    listing.exists = true;
    listing.files.push_back(FileOf(name, info));
    return listing;
  }
  if (!S_ISDIR(info.st_mode)) {
    return MakeError(ErrorKind::kInvalidMerge,
                     "path is neither a directory nor a file: '" + path + "'");
  }
  std::set<Identity> ancestors{{info.st_dev, info.st_ino}};
  ARROW_RETURN_NOT_OK(Walk(listing.root, "", &ancestors, &listing.files));
  std::sort(listing.files.begin(), listing.files.end(),
            [](const auto& a, const auto& b) { return a.relative_path < b.relative_path; });
  listing.exists = !listing.files.empty();
  return listing;
}

arrow::Result<DatasetFile> StatDatasetFile(const std::string& root,
                                           const std::string& relative_path) {
  struct stat info{};
  const std::string path = root + "/" + relative_path;
  if (::stat(path.c_str(), &info) != 0) return CannotRead(errno, path);
  return FileOf(relative_path, info);
}

}  // namespace floodwall

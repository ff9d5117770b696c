#include "dataset/directory_attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace floodwall {
namespace {

class Directory {
 public:
  explicit Directory(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {}
  ~Directory() {
    if (fd_ >= 0) ::close(fd_);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Names of extended attributes; a file system without them has none.
int ListNames(int fd, std::vector<std::string>* names) {
  std::vector<char> buffer;
  ssize_t length = 0;
  do {
    length = ::flistxattr(fd, nullptr, 0);
    if (length <= 0) break;
    buffer.resize(static_cast<size_t>(length));
    length = ::flistxattr(fd, buffer.data(), buffer.size());
  } while (length < 0 && errno == ERANGE);
  if (length < 0) return errno == ENOTSUP ? 0 : errno;
  for (auto at = buffer.begin(); at < buffer.begin() + length;) {
    const auto end = std::find(at, buffer.end(), '\0');
    names->emplace_back(at, end);
    at = end + 1;
  }
  return 0;
}

/// What decides about access or belongs to the user must be kept; the rest is the system's.
bool MustBeKept(const std::string& name) {
  return name.rfind("user.", 0) == 0 || name.rfind("system.posix_acl_", 0) == 0;
}

int CopyOne(int from, int to, const std::string& name) {
  std::vector<char> value;
  ssize_t length = 0;
  do {
    length = ::fgetxattr(from, name.c_str(), nullptr, 0);
    if (length < 0) break;
    value.resize(static_cast<size_t>(length));
    length = ::fgetxattr(from, name.c_str(), value.data(), value.size());
  } while (length < 0 && errno == ERANGE);
  if (length < 0) return errno;
  if (::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(length), 0) != 0) {
    return errno;
  }
  return 0;
}

int CopyExtended(int from, int to) {
  std::vector<std::string> names;
  std::vector<std::string> present;
  if (const int error = ListNames(from, &names)) return error;
  if (const int error = ListNames(to, &present)) return error;
  for (const std::string& name : names) {
    const int error = CopyOne(from, to, name);
    if (error != 0 && MustBeKept(name)) return error;
  }
  // A new directory inherits its parent's default access control list.
  for (const std::string& name : present) {
    if (!MustBeKept(name) || std::find(names.begin(), names.end(), name) != names.end()) continue;
    if (::fremovexattr(to, name.c_str()) != 0) return errno;
  }
  return 0;
}

}  // namespace

int CopyDirectoryAttributes(const std::string& from, const std::string& to) {
  const Directory source(from);
  if (source.fd() < 0) return errno;
  const Directory copy(to);
  if (copy.fd() < 0) return errno;
  struct stat wanted{};
  struct stat now{};
  if (::fstat(source.fd(), &wanted) != 0 || ::fstat(copy.fd(), &now) != 0) return errno;
  if (wanted.st_uid != now.st_uid || wanted.st_gid != now.st_gid) {
    if (::fchown(copy.fd(), wanted.st_uid, wanted.st_gid) != 0) return errno;
  }
  if (const int error = CopyExtended(source.fd(), copy.fd())) return error;
  // Last: a change of owner takes bits away.
  return ::fchmod(copy.fd(), wanted.st_mode & 07777) != 0 ? errno : 0;
}

}  // namespace floodwall

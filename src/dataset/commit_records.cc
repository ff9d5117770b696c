#include "dataset/commit_records.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash.h"
#include "dataset/journal.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr char kHeader[] = "floodwall-result 1\n";

std::string Directory(const std::string& root) { return root + "/_floodwall/results"; }

std::string PathOf(const std::string& root, const std::string& token) {
  const XXH128_hash_t hash = XXH3_128bits(token.data(), token.size());
  char name[40];
  std::snprintf(name, sizeof(name), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return Directory(root) + "/" + name;
}

std::string Head(const std::string& token) { return kHeader + EncodeWord(token) + "\n"; }

}  // namespace

arrow::Status CommitRecords::Write(Storage* storage, const std::string& root,
                                   const std::string& token, const std::string& text) {
  const std::string directory = Directory(root);
  const std::string path = PathOf(root, token);
  const std::string content = Head(token) + text;
  ARROW_RETURN_NOT_OK(storage->CreateDirectory(directory));
  ARROW_RETURN_NOT_OK(storage->Unlink(path + ".new"));  // of a process that died here
  ARROW_ASSIGN_OR_RAISE(auto file, storage->CreateFile(path + ".new", 0644));
  ARROW_RETURN_NOT_OK(file->Write(content.data(), static_cast<int64_t>(content.size())));
  ARROW_RETURN_NOT_OK(file->Sync());
  ARROW_RETURN_NOT_OK(file->Close());
  ARROW_RETURN_NOT_OK(storage->Rename(path + ".new", path));
  ARROW_RETURN_NOT_OK(storage->SyncDirectory(directory));
  return storage->SyncDirectory(root + "/_floodwall");
}

arrow::Result<std::optional<std::string>> CommitRecords::Find(const std::string& root,
                                                              const std::string& token) {
  const std::string path = PathOf(root, token);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    return MakeOsError(ErrorKind::kCommit, errno, "cannot look for the record of a commit", path);
  }
  std::ifstream in(path, std::ios::binary);
  std::stringstream content;
  content << in.rdbuf();
  if (!in) return MakeOsError(ErrorKind::kCommit, EIO, "cannot read the record of a commit", path);
  const std::string text = content.str();
  const std::string head = Head(token);
  if (text.compare(0, head.size(), head) != 0) {
    return MakeError(ErrorKind::kCommit,
                     "the record of a commit is damaged or another token's: '" + path + "'");
  }
  return text.substr(head.size());
}

void CommitRecords::Prune(Storage* storage, const std::string& root) {
  const std::string directory = Directory(root);
  std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(directory.c_str()), ::closedir);
  if (!handle) return;
  std::vector<std::pair<int64_t, std::string>> found;
  while (const dirent* entry = ::readdir(handle.get())) {
    const std::string path = directory + "/" + entry->d_name;
    struct stat info{};
    if (entry->d_name[0] == '.' || ::stat(path.c_str(), &info) != 0) continue;
    found.emplace_back(info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec, path);
  }
  if (found.size() <= kKept) return;
  std::sort(found.begin(), found.end());
  for (size_t i = 0; i + kKept < found.size(); ++i) (void)storage->Unlink(found[i].second);
}

}  // namespace floodwall

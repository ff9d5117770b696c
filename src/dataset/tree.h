#pragma once

/// Directories as trees of names: what the commit reads and removes besides data files.
///
/// Threading: plain functions. Errors: kCommit with os_error. Units: bytes. Lifetime: values.

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/status.h"
#include "dataset/storage.h"

namespace floodwall {

/// Whether `path` leads to something, through links.
bool Exists(const std::string& path, int64_t* size = nullptr);

std::string ParentOf(const std::string& path);

/// Without "." and ".."; none when the directory cannot be read.
std::vector<std::string> NamesIn(const std::string& directory);

/// Same, but a directory that cannot be read is an error; one that is gone has no names.
arrow::Result<std::vector<std::string>> ReadNames(const std::string& directory);

/// Creates the directories of `relative_path` below root. Adds to `to_sync` what must be synced
/// before anything in them is safe: every directory that holds one of them, also one that was there
/// before, since whoever made it may have been cut off before he synced.
arrow::Status CreateParents(Storage* storage, const std::string& root,
                            const std::string& relative_path, std::set<std::string>* to_sync);

/// Makes the entries of these directories safe.
arrow::Status SyncDirectories(Storage* storage, const std::set<std::string>& directories);

/// Asked about each file, by its path below the removed directory: true when it was dealt with
/// otherwise and must not be removed.
using RescueFile = std::function<arrow::Result<bool>(const std::string& relative_path)>;

/// Removes `path` with everything in it; links are not followed, another file system is an error.
/// Returns the bytes of files that had no other name. Absent is success.
arrow::Result<int64_t> RemoveTree(Storage* storage, const std::string& path,
                                  const RescueFile& rescue = {});

}  // namespace floodwall

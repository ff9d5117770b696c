#pragma once

/// A Parquet dataset as a set of files below a directory.
///
/// Threading: plain functions and values. Errors: kInvalidMerge for a path that cannot be
/// a dataset, IOError otherwise. Lifetime: values only.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/result.h"

namespace floodwall {

/// What identifies one version of a file: if any of these differ at commit, somebody else
/// has written it.
struct FileVersion {
  int64_t size_bytes = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  bool operator==(const FileVersion&) const = default;
};

struct DatasetFile {
  std::string relative_path;  ///< below the root, '/' separated
  FileVersion version;
  mode_t mode = 0;  ///< permission bits, kept when the file is rewritten
};

struct DatasetListing {
  std::string root;                ///< absolute directory that holds the files and _floodwall/
  bool single_file = false;        ///< the path named one file; root is its directory
  bool exists = false;             ///< false: no such path, or no data file below it
  std::vector<DatasetFile> files;  ///< sorted by relative_path, bytewise

  std::string AbsolutePath(const std::string& relative_path) const;
};

/// Lists every regular file (through symbolic links, without cycles) ending in ".parquet"
/// below `path`, skipping components that start with '.' or '_'. A path that names a file
/// is a dataset of one. An empty path, one with a NUL byte, or a file that does not end in .parquet
/// is refused.
arrow::Result<DatasetListing> ListDataset(const std::string& path);

/// The version of one file now; NotFound-like IOError when it is gone.
arrow::Result<DatasetFile> StatDatasetFile(const std::string& root,
                                           const std::string& relative_path);

}  // namespace floodwall

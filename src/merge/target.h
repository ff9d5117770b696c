#pragma once

/// The dataset being merged into: its files, and which of their rows match source keys.
///
/// Threading: Match runs in several threads, a file each. Errors: kSchemaMismatch before any
/// key is read, kUnsupportedFile for files that cannot be read. Memory: matches come from
/// the index pool; a footer is held only while its file is worked on.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arrow/type.h"
#include "dataset/listing.h"
#include "merge/column_recoder.h"
#include "merge/key_index.h"
#include "merge/run_context.h"

namespace floodwall {

struct TargetRowGroup {
  int64_t num_rows = 0;
  std::vector<RowMatch> matches;  ///< ascending rows
};

struct TargetFile {
  DatasetFile file;
  int64_t num_rows = 0;
  std::vector<TargetRowGroup> row_groups;
  bool touched = false;
};

/// One bit a source row; set from several threads.
class RowBitmap {
 public:
  static arrow::Result<RowBitmap> Make(int64_t length, arrow::MemoryPool* pool);
  void Set(int64_t i);
  bool Get(int64_t i) const;
  int64_t Count() const;

 private:
  std::shared_ptr<arrow::Buffer> words_;
};

class Target {
 public:
  /// Reads every footer once: row counts, and the types of key columns.
  static arrow::Result<Target> Open(DatasetListing listing, const arrow::Schema& source,
                                    RunContext* context);

  const DatasetListing& listing() const { return listing_; }
  std::vector<TargetFile>& files() { return files_; }
  const std::vector<TargetFile>& files() const { return files_; }
  int64_t num_rows() const { return num_rows_; }
  int64_t size_bytes() const;
  /// Types of each key column over all files, in the order of options.key_columns.
  const std::vector<std::vector<std::shared_ptr<arrow::DataType>>>& key_types() const {
    return key_types_;
  }
  /// The file written last: its schema and codec are those of new files. Empty: no files.
  std::optional<size_t> newest_file() const { return newest_; }

  /// Reads the key columns of every file and finds their source rows; `matched` gets a bit for
  /// each. keep: remember which rows matched, for a rewrite.
  arrow::Status Match(const KeySchema& schema, const KeyIndex& index, bool keep, int threads,
                      RowBitmap* matched, RunContext* context);

  std::string AbsolutePath(const TargetFile& file) const {
    return listing_.AbsolutePath(file.file.relative_path);
  }

 private:
  arrow::Status MatchFile(const KeySchema& schema, const KeyIndex& index, bool keep,
                          TargetFile* file, RowBitmap* matched, RunContext* context) const;

  DatasetListing listing_;
  std::vector<TargetFile> files_;
  int64_t num_rows_ = 0;
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> key_types_;
  std::optional<size_t> newest_;
  std::shared_ptr<Reservation> match_charge_;
};

}  // namespace floodwall

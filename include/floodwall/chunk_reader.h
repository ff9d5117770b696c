#pragma once

/// Reads Parquet files as tables of exactly the size asked for, across row groups and files,
/// holding one page of each column beside the chunk that is being gathered.
///
/// process_in_chunks is its Python face. What a dataset scanner reads ahead (whole row groups,
/// several files) is what this reader does without.
///
/// Threading: one thread at a time. Errors: a denial is OutOfMemory with an ErrorDetail and
/// leaves the reader where it was: free something and call Next again, the rows gathered so far
/// are kept. kUnsupportedFile for corrupt or encrypted files, IOError for the system's.
/// Units: rows, bytes. Lifetime: tables own their memory and keep nothing of the reader alive;
/// the pool is immortal.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/table.h"
#include "floodwall/export.h"
#include "floodwall/guarded_pool.h"

namespace floodwall {

/// One file, or some of its row groups.
struct ChunkFile {
  std::string path;
  /// Row groups to read, in this order; empty and all_row_groups false: none.
  std::vector<int> row_groups = {};
  bool all_row_groups = true;
  /// One row whose values every row of the file has (hive partition columns). They win over
  /// columns of the same name inside the file. May be null.
  std::shared_ptr<arrow::RecordBatch> constants = nullptr;
};

struct ChunkReaderOptions {
  /// What every table has: columns are found by name, cast safely when the file's type differs,
  /// null where a file lacks them. Null: the first file's schema.
  std::shared_ptr<arrow::Schema> schema;
  /// Every buffer comes from here, footers and pages too. Required.
  GuardedPool* pool = nullptr;
  /// Rows decoded at a time. Smaller: less scratch memory for strings and for columns that are
  /// cast; larger: fewer calls. A change takes effect at the next row group.
  int64_t piece_rows = 65536;
  /// Decode columns in parallel on Arrow's CPU threads. Faster; scratch memory of as many columns
  /// as there are threads instead of one.
  bool use_threads = false;
};

/// Streams rows in the order of the files.
class FLOODWALL_EXPORT ChunkReader {
 public:
  /// Opens no file when a schema is given, else the first one.
  static arrow::Result<std::unique_ptr<ChunkReader>> Make(std::vector<ChunkFile> files,
                                                          ChunkReaderOptions options);
  virtual ~ChunkReader() = default;

  /// The next `rows` rows (fewer only at the end of the last file), null when there are no more.
  virtual arrow::Result<std::shared_ptr<arrow::Table>> Next(int64_t rows) = 0;
  /// Rows that a failed Next has gathered and not yet given away; null when there are none.
  virtual arrow::Result<std::shared_ptr<arrow::Table>> TakeGathered() = 0;
  /// Rows of all files, read or not; opens every footer once, one at a time.
  virtual arrow::Result<int64_t> CountRows() = 0;
  virtual const std::shared_ptr<arrow::Schema>& schema() const = 0;
  /// See ChunkReaderOptions; at least 1.
  virtual void set_piece_rows(int64_t rows) = 0;
};

}  // namespace floodwall

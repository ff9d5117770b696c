#pragma once

/// Writes one top-level column, nested or not, as a Parquet file of one row group, whose chunks are
/// then spliced into another file.
///
/// Parquet's own writer makes the levels. It is given the schema nodes of the file that the chunks
/// go into, so that the leaves agree by construction; the assembler compares them nevertheless.
///
/// Threading: one thread. Errors: kSchemaMismatch for values that cannot be written, kCommit from
/// the staged file. Memory: pages of the row group in their encoded form until Finish, from the
/// encode pool. Lifetime: the file is unlinked when the column is destroyed.

#include <memory>
#include <string>

#include "arrow/array.h"
#include "arrow/result.h"
#include "dataset/commit.h"
#include "dataset/parquet_assembler.h"
#include "dataset/parquet_source.h"
#include "dataset/staged_output.h"
#include "merge/run_context.h"
#include "parquet/arrow/writer.h"
#include "parquet/properties.h"
#include "parquet/schema.h"

namespace floodwall {

class OneColumnFile {
 public:
  /// node: the column in the schema of the file it goes into; field: its Arrow type.
  static arrow::Result<std::unique_ptr<OneColumnFile>> Make(
      const parquet::schema::Node& node, const std::shared_ptr<arrow::Field>& field,
      std::shared_ptr<parquet::WriterProperties> properties, bool int96, Storage* storage,
      Commit* commit, GuardedPool* pool);
  ~OneColumnFile();

  arrow::Status Append(const std::shared_ptr<arrow::Array>& values);
  /// Closes the file and opens it for reading.
  arrow::Result<std::shared_ptr<ParquetSource>> Finish();

  /// Copies the pages of leaf `leaf` of a finished file into the sink of another.
  static arrow::Result<EncodedChunk> CopyChunk(const ParquetSource& finished, int leaf,
                                               StagedOutput* sink);

 private:
  OneColumnFile() = default;
  Storage* storage_ = nullptr;
  GuardedPool* pool_ = nullptr;
  std::string path_;
  std::shared_ptr<arrow::Schema> schema_;
  std::shared_ptr<StagedOutput> sink_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  bool any_ = false;
};

}  // namespace floodwall

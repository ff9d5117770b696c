#pragma once

/// Writes one new Parquet file, column by column, in slices whose size depends on the data only:
/// the same rows give the same bytes, whatever the budget and wherever the rows come from. (The
/// insert copies row groups of a Parquet source that are new as a whole: copied_groups.h.)
///
/// Threading: one thread. Errors: kSchemaMismatch for values that do not fit, kCommit from the
/// staged file, OutOfMemory. Throws Parquet's exceptions: the caller catches. Memory: of flat
/// columns a slice and an encoder, of nested ones a whole column of a row group; from the
/// encode pool. Lifetime: borrows the context.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arrow/array.h"
#include "arrow/result.h"
#include "dataset/staged_output.h"
#include "merge/run_context.h"
#include "merge/schema_nodes.h"
#include "merge/target.h"
#include "parquet/arrow/writer.h"
#include "parquet/file_writer.h"
#include "parquet/properties.h"

namespace floodwall {

/// How new files look: with the target's columns (those of its newest file first) and new ones by
/// policy, in the newest file's codecs and encodings; without a file in the source's schema.
struct FileStyle {
  static constexpr int64_t kMaxGroupRows = 1 << 20;

  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<parquet::WriterProperties> properties;
  std::shared_ptr<parquet::ArrowWriterProperties> arrow_properties;
  DecimalForms decimals;  ///< of the newest file
  /// The columns as Parquet has them: the newest file's own where it has them all.
  std::shared_ptr<const parquet::schema::GroupNode> stored;
  bool page_index = true;  ///< false: the newest file has none

  static arrow::Result<FileStyle> Of(const Target& target, const arrow::Schema& source_schema,
                                     RunContext* context);
  /// The metadata of a file in this style: what Arrow's own writer notes about the schema, so that
  /// types come back as they were.
  arrow::Result<std::shared_ptr<const arrow::KeyValueMetadata>> Metadata(
      arrow::MemoryPool* pool) const;
};

class NewFile {
 public:
  /// Columns whose dictionary would overflow cost an encoder this much before it gives up.
  static constexpr int64_t kEncoderBytes = 8 << 20;
  static constexpr int64_t kSliceBytes = 1 << 20;

  using Sink = std::function<arrow::Status(std::shared_ptr<arrow::Array>)>;
  /// Calls the sink with the values of field `column` of the style's schema in order, in pieces
  /// of any size and of the source's type.
  using Feed = std::function<arrow::Status(int column, const Sink& sink)>;

  static arrow::Result<std::unique_ptr<NewFile>> Make(const FileStyle& style,
                                                      std::unique_ptr<StagedFile> staged,
                                                      RunContext* context);

  /// slice_rows[i]: rows of column i that are encoded at once.
  arrow::Status WriteRowGroup(int64_t rows, const std::vector<int64_t>& slice_rows,
                              const Feed& feed);
  /// Ends and syncs the file; returns its size.
  arrow::Result<int64_t> Close();
  int64_t num_rows() const { return num_rows_; }

 private:
  NewFile(const FileStyle& style, RunContext* context) : style_(style), context_(context) {}
  arrow::Status WriteFlat(parquet::RowGroupWriter* group, int column, int64_t slice_rows,
                          const Feed& feed);
  arrow::Status WriteNested(int column, const Feed& feed);
  /// Source values as they are written into the column.
  arrow::Result<std::shared_ptr<arrow::Array>> Fit(std::shared_ptr<arrow::Array> values,
                                                   int column) const;

  const FileStyle& style_;
  RunContext* context_;
  std::vector<std::shared_ptr<arrow::Field>> stored_;  ///< the schema's fields as written
  bool nested_ = false;
  std::shared_ptr<StagedOutput> sink_;
  std::unique_ptr<parquet::ParquetFileWriter> flat_writer_;
  std::unique_ptr<parquet::arrow::FileWriter> nested_writer_;
  int64_t num_rows_ = 0;
};

}  // namespace floodwall

#pragma once

/// Replaces and removes values of one column chunk: compares new values with the old, and encodes
/// the chunk anew only when one of them differs or goes away.
///
/// Works on Parquet's physical values, one page at a time: nothing is held but a page, the
/// dictionary and the encoder's state. Flat columns only.
///
/// Threading: one thread a recoder. Errors: kSchemaMismatch for values that do not fit the
/// column, kUnsupportedFile for pages that cannot be decoded. Lifetime: borrows everything.
/// Memory: from the encode pool, within EncodeNeed().

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "arrow/array.h"
#include "arrow/result.h"
#include "dataset/parquet_assembler.h"
#include "dataset/parquet_source.h"
#include "merge/run_context.h"

namespace floodwall {

/// Row `row` of a row group takes the values of source row `ordinal`, or is removed.
struct RowMatch {
  static constexpr int64_t kRemoved = -1;
  int64_t row;
  int64_t ordinal;  ///< kRemoved: the row goes away
};

class ColumnRecoder {
 public:
  /// Source rows are turned into physical values this many at a time.
  static constexpr int64_t kSliceRows = 8192;

  /// Returns the new values for the given ordinals, of the source's type; null: all null.
  using TakeValues =
      std::function<arrow::Result<std::shared_ptr<arrow::Array>>(std::span<const int64_t>)>;

  ColumnRecoder(std::shared_ptr<ParquetSource> file, int row_group, int column,
                const std::vector<RowMatch>* matches, TakeValues take, RunContext* context)
      : file_(std::move(file)),
        row_group_(row_group),
        column_(column),
        matches_(matches),
        take_(std::move(take)),
        context_(context) {}

  /// Whether a replaced value differs or a row is removed; stops at the first.
  arrow::Result<bool> Differs();

  /// Encodes the chunk with the new values into the assembler. changed[i] becomes 1 where
  /// match i's value differs.
  arrow::Status Recode(ParquetAssembler* assembler, std::vector<uint8_t>* changed);

  /// Upper bound of the memory that Differs and Recode take for a chunk.
  static int64_t EncodeNeed(const PageSummary& pages, int64_t chunk_compressed_bytes,
                            int64_t chunk_rows);

 private:
  template <typename DType>
  arrow::Result<bool> Run(ParquetAssembler* assembler, std::vector<uint8_t>* changed);
  arrow::Result<bool> Dispatch(ParquetAssembler* assembler, std::vector<uint8_t>* changed);

  std::shared_ptr<ParquetSource> file_;
  int row_group_;
  int column_;
  const std::vector<RowMatch>* matches_;
  TakeValues take_;
  RunContext* context_;
};

}  // namespace floodwall

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

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
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

/// The new values for given ordinals, of the source's type; null: all null.
class TakeValues {
 public:
  using Take =
      std::function<arrow::Result<std::shared_ptr<arrow::Array>>(std::span<const int64_t>)>;
  /// How many of the leading ordinals to take at once for values of at most so many bytes.
  using Count = std::function<arrow::Result<int64_t>(std::span<const int64_t>, int64_t)>;

  TakeValues() = default;
  template <typename F>
    requires std::is_invocable_v<F, std::span<const int64_t>>
  TakeValues(F take, Count count = nullptr)  // NOLINT(google-explicit-constructor)
      : take_(std::move(take)), count_(std::move(count)) {}

  arrow::Result<std::shared_ptr<arrow::Array>> operator()(std::span<const int64_t> ordinals) const {
    return take_(ordinals);
  }
  arrow::Result<int64_t> CountWithin(std::span<const int64_t> ordinals, int64_t bytes) const {
    return count_ ? count_(ordinals, bytes) : static_cast<int64_t>(ordinals.size());
  }

 private:
  Take take_;
  Count count_;
};

class ColumnRecoder {
 public:
  /// Source rows are turned into physical values this many at a time, fewer where they are long.
  static constexpr int64_t kSliceRows = 8192;
  static constexpr int64_t kSliceBytes = 512 << 10;
  using TakeValues = floodwall::TakeValues;

  /// Bytes of a slice's values, of `edits` in all with the longest of `longest` bytes.
  static int64_t SliceNeed(int64_t edits, int64_t longest) {
    return std::min(std::max(kSliceBytes, longest), std::min(edits, kSliceRows) * longest);
  }

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

  /// Upper bound of the memory that Differs and Recode take for a chunk, beside the new values.
  static int64_t EncodeNeed(const PageSummary& pages, int64_t chunk_compressed_bytes,
                            int64_t chunk_rows);
  /// Of the new values: two slices, the later being turned into a page.
  static int64_t ValuesNeed(int64_t edits, int64_t longest) {
    return 8 * SliceNeed(edits, longest) + 4 * std::max(int64_t{1} << 20, longest);
  }

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

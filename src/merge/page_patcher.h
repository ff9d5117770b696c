#pragma once

/// Replaces and removes values of one column chunk page by page, in their encoded form: pages
/// without a change are copied compressed, changed ones decompressed, patched and compressed.
/// Does what ColumnRecoder does at a fraction of its time and memory, for the chunks that
/// CanPatch() names; the recoder does the others.
///
/// One pass compares and patches: nothing is written until the first difference, so a chunk
/// without one costs reading its touched pages. Where a dictionary, which comes before its pages,
/// would need more new values than are held at once, they are compared in a pass of its own, so
/// that the second one reads only those that differ.
///
/// Threading: one thread a patcher. Errors: kSchemaMismatch for values that do not fit the
/// column, kUnsupportedFile for pages that cannot be read. Lifetime: borrows everything.
/// Memory: from the encode pool, within Need().

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "arrow/result.h"
#include "arrow/stl_allocator.h"
#include "dataset/chunk_pages.h"
#include "dataset/parquet_assembler.h"
#include "dataset/patched_chunk.h"
#include "merge/chunk_dictionary.h"
#include "merge/column_recoder.h"
#include "merge/new_values.h"
#include "merge/page_values.h"
#include "merge/run_context.h"

namespace floodwall {

/// Definition levels of a loaded page of a flat column.
class PageLevels {
 public:
  explicit PageLevels(GuardedPool* pool) : levels_(pool) {}
  /// optional: else every row has a value.
  arrow::Status Load(const LoadedPage& page, bool optional, int64_t rows);

  int64_t num_defined() const { return num_defined_; }
  bool defined(int64_t row) const { return all_defined_ || levels_.data()[row] != 0; }
  /// Values before `row`; rows do not descend between Rewind()s.
  int64_t ValuesBefore(int64_t row);
  void Rewind() { row_ = values_ = 0; }

 private:
  ByteBuffer levels_;  ///< a byte each, unless all are defined
  bool all_defined_ = true;
  int64_t num_defined_ = 0;
  int64_t row_ = 0;
  int64_t values_ = 0;
};

class PagePatcher {
 public:
  /// Starts whatever the chunk is written into, with all before it.
  using Begin = std::function<arrow::Result<ParquetAssembler*>()>;

  /// Whether the chunk's pages can be patched, judged by its headers.
  static bool CanPatch(const BaseChunk& chunk, const ChunkPages& pages);
  /// Upper bound of the memory a chunk takes, the new values included, of which the longest has
  /// `longest` bytes. May read pages.
  static arrow::Result<int64_t> Need(const BaseChunk& chunk, const ChunkPages& pages,
                                     int64_t num_edits, int64_t longest, GuardedPool* pool);

  PagePatcher(const BaseChunk* chunk, const ListedPages* pages, const std::vector<RowMatch>* edits,
              const ColumnRecoder::TakeValues* take, RunContext* context);

  /// True: the chunk was written into the assembler that `begin` gave, and changed[i] became 1
  /// where edit i replaced a value by another. False: no edit does, and `begin` was not called.
  arrow::Result<bool> Run(const Begin& begin, std::vector<uint8_t>* changed);

 private:
  /// An edit that makes a difference.
  struct RowEdit {
    int32_t row;
    bool removes;
    std::string_view old;  ///< in the page or dictionary, until the page is patched
    ValueEdit value;  ///< its bytes lie in new_bytes_, one after another, until the page is patched
  };

  arrow::Result<bool> RunPages(const Begin& begin, std::vector<uint8_t>* changed);
  arrow::Status EditPage(const Begin& begin, size_t page, size_t first, size_t last,
                         int64_t first_row, std::vector<uint8_t>* changed);
  arrow::Status LoadPage(size_t page);
  arrow::Result<bool> NeedsComparison();
  arrow::Status Compare();
  arrow::Status ComparePage(size_t page, size_t first, size_t last, int64_t first_row);
  /// What edit `i` does to row `row` of the loaded page; nothing when it changes nothing.
  arrow::Result<bool> ReadEdit(size_t i, int64_t row, RowEdit* out);
  arrow::Status StartChunk(const Begin& begin, size_t page, size_t first_edit, int64_t first_row);
  arrow::Status ResolveValues(size_t page, size_t first_edit, int64_t first_row);
  bool MayDiffer(size_t edit) const {
    return !compared_ || (differs_.data()[edit / 8] >> (edit % 8) & 1) != 0;
  }
  arrow::Status PatchPart(size_t page, int64_t begin, int64_t end);
  arrow::Status PatchRows(size_t page, int64_t begin, int64_t end, std::span<const RowEdit> edits,
                          bool whole, bool as_plain);
  arrow::Result<int64_t> AppendLevels(const PageEntry& entry, int64_t begin, int64_t end,
                                      std::span<const RowEdit> edits, bool kept);
  std::vector<int64_t> SplitRows(size_t page, int64_t begin, int64_t end, bool as_plain) const;
  static int64_t MostGrowth(int64_t page_bytes);
  arrow::Status Corrupt(const char* why) const;

  const BaseChunk* chunk_;
  const ListedPages* pages_;
  const std::vector<RowMatch>* edits_;
  const ColumnRecoder::TakeValues* take_;
  RunContext* context_;
  GuardedPool* pool_;
  bool optional_;
  bool byte_arrays_;
  ValueOrder order_;
  PageLoader loader_;
  ChunkDictionary dictionary_;
  NewValues fresh_;
  ByteBuffer compressed_;
  std::unique_ptr<PatchedChunk> out_;
  size_t copied_ = 0;  ///< pages before this one are written, once the chunk has begun
  bool only_rows_removed_ = true;
  bool compared_ = false;
  ByteBuffer differs_;  ///< once compared: a bit an edit, clear where it changes nothing

  // The page being worked on.
  LoadedPage page_;
  PageLevels levels_;
  std::unique_ptr<PageValues> values_;
  template <typename T>
  using PoolVector = std::vector<T, arrow::stl::allocator<T>>;
  PoolVector<RowEdit> row_edits_;
  PoolVector<ValueEdit> value_edits_;
  ValueBounds page_bounds_{nullptr, false};
  ByteBuffer body_;
  ByteBuffer new_levels_;
  ByteBuffer new_bytes_;  ///< new byte arrays of row_edits_
};

}  // namespace floodwall

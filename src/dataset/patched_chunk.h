#pragma once

/// Writes a column chunk that consists of pages of a base chunk, copied as they are, and pages
/// changed, and makes its metadata from the base chunk's own: sizes, encodings, statistics,
/// size statistics, column index, offset index and bloom filter. The page patcher is the caller.
///
/// Whatever is not known to be true after the change is left out: a page without certain bounds
/// ends the column index, a chunk without them its minimum and maximum.
///
/// Threading: one thread. Errors: kUnsupportedFile, those of the assembler's sink. Units: bytes,
/// rows. Lifetime: borrows all it is given. Memory: a compressed page from the pool;
/// about kBytesPerPage for each page until Finish.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "dataset/chunk_pages.h"
#include "dataset/parquet_assembler.h"
#include "dataset/value_order.h"
#include "parquet/bloom_filter.h"

namespace floodwall {

/// What became of a page's rows.
struct PageChange {
  int64_t rows = 0;  ///< after the change
  int64_t nulls = 0;
  int64_t rows_before = 0;
  int64_t nulls_before = 0;
  int64_t value_bytes_delta = 0;  ///< of byte arrays without lengths
  ValueBounds bounds;             ///< of the page, changed
  bool whole = true;              ///< the page was not divided
};

class PatchedChunk {
 public:
  static constexpr int64_t kBytesPerPage = 2048;

  static arrow::Result<std::unique_ptr<PatchedChunk>> Make(
      const BaseChunk* chunk, const ChunkPages* pages, const ValueOrder* order, PageLoader* loader,
      ByteBuffer* compressed, GuardedPool* pool);
  /// From here on bytes are written.
  void Start(ParquetAssembler* assembler);

  arrow::Status CopyDictionary();
  /// The dictionary page with PLAIN values behind its own, `num_values` in all. `added` is used up.
  arrow::Status GrowDictionary(const LoadedPage& page, ByteBuffer* added, int64_t num_values);
  /// Copies data pages [first, last).
  arrow::Status CopyPages(size_t first, size_t last);
  /// A changed page: body as it lies uncompressed, levels first; definition_bytes of them in
  /// version 2. `encoding` of its values.
  arrow::Status WritePage(size_t base_page, thrift::Value header, std::span<const uint8_t> body,
                          int64_t definition_bytes, int64_t encoding, const PageChange& change);

  /// A page that lost all its rows, and is not written.
  void DropPage(const PageChange& change) { NoteChange(change); }

  /// Bounds of a page before the change.
  ValueBounds PageBounds(size_t base_page, const thrift::Value& header) const;
  /// Bounds of the chunk, to be told of every change.
  ValueBounds& bounds() { return bounds_; }
  /// A value that was not in the chunk, for the bloom filter.
  void NoteNewValue(std::string_view value);

  /// Hands the chunk to the assembler. only_rows_removed: all values left are the base's.
  arrow::Status Finish(bool only_rows_removed);

 private:
  struct Emitted {
    int64_t offset = 0;
    int64_t bytes = 0;
    int64_t rows = 0;
    size_t base_page = 0;
    bool changed = false;
    bool v2 = false;
    int8_t encoding = 0;
    bool has_bounds = false;
    int64_t nulls = 0;
    bool divided = false;
    int64_t value_bytes_delta = 0;
    std::string min;
    std::string max;
  };
  PatchedChunk() = default;
  arrow::Status LoadIndexes(int64_t num_pages);
  arrow::Status LoadBloomFilter();
  arrow::Status Emit(thrift::Value header, std::span<const uint8_t> body, int64_t stored_bytes);
  arrow::Status AppendCompressed(std::span<const uint8_t> bytes);
  arrow::Status EmitStored(thrift::Value header, std::span<const uint8_t> head,
                           std::span<const uint8_t> rest, int64_t uncompressed);
  void NoteChange(const PageChange& change);
  void UpdateEncodings(thrift::Value* meta) const;
  void UpdateStatistics(thrift::Value* meta) const;
  bool ValueBytesKnown() const;
  void UpdateSizeStatistics(thrift::Value* meta) const;
  std::string MakeColumnIndex() const;
  bool OrderHolds(const thrift::Value& index, bool ascending) const;
  std::string MakeOffsetIndex() const;

  const BaseChunk* chunk_ = nullptr;
  const ChunkPages* pages_ = nullptr;
  const ValueOrder* order_ = nullptr;
  PageLoader* loader_ = nullptr;
  ByteBuffer* compressed_ = nullptr;
  GuardedPool* pool_ = nullptr;
  ParquetAssembler* assembler_ = nullptr;
  std::optional<thrift::Value> column_index_;
  std::optional<thrift::Value> offset_index_;
  std::unique_ptr<parquet::BlockSplitBloomFilter> bloom_;
  ValueBounds bounds_{nullptr, false};
  bool trusted_ = false;  ///< bounds of this writer can be believed
  std::vector<Emitted> emitted_;
  int64_t start_ = 0;
  int64_t dictionary_offset_ = -1;
  int64_t dictionary_encoding_ = -1;
  int64_t rows_ = 0;
  int64_t nulls_delta_ = 0;
  int64_t rows_delta_ = 0;
  int64_t value_bytes_delta_ = 0;
  int64_t uncompressed_ = 0;
};

}  // namespace floodwall

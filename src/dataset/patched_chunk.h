#pragma once

/// Writes a column chunk that consists of pages of a base chunk, copied as they are, and pages
/// changed, and makes its metadata from the base chunk's own: sizes, encodings, statistics,
/// size statistics, column index, offset index and bloom filter. The page patcher is the caller.
///
/// Whatever is not known to be true after the change is left out: a page without certain bounds
/// ends the column index, a chunk without them its minimum and maximum.
///
/// Threading: one thread. Errors: kUnsupportedFile, those of the assembler's sink. Units: bytes,
/// rows. Lifetime: borrows all it is given. Memory: a compressed page from the pool, and
/// what PatchedIndexes takes.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "arrow/result.h"
#include "dataset/chunk_pages.h"
#include "dataset/parquet_assembler.h"
#include "dataset/patched_indexes.h"
#include "dataset/value_order.h"
#include "parquet/bloom_filter.h"

namespace floodwall {

class PatchedChunk {
 public:
  static arrow::Result<std::unique_ptr<PatchedChunk>> Make(
      const BaseChunk* chunk, const ListedPages* pages, const ValueOrder* order, PageLoader* loader,
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
  arrow::Result<ValueBounds> PageBounds(size_t base_page, const thrift::Value& header);
  /// Bounds of the chunk, to be told of every change.
  ValueBounds& bounds() { return bounds_; }
  /// A value that was not in the chunk, for the bloom filter.
  void NoteNewValue(std::string_view value);

  /// Hands the chunk to the assembler. only_rows_removed: all values left are the base's.
  arrow::Status Finish(bool only_rows_removed);

 private:
  /// Pages of one kind, as the metadata counts them.
  struct EncodingCount {
    int64_t page_type;
    int64_t encoding;
    int64_t pages;
  };
  PatchedChunk() = default;
  arrow::Status LoadBloomFilter();
  arrow::Status Emit(thrift::Value header, std::span<const uint8_t> body, int64_t stored_bytes);
  arrow::Status AppendCompressed(std::span<const uint8_t> bytes);
  arrow::Status EmitStored(thrift::Value header, std::span<const uint8_t> head,
                           std::span<const uint8_t> rest, int64_t uncompressed);
  void CountPage(int64_t page_type, int64_t encoding);
  void NoteChange(const PageChange& change);
  void UpdateEncodings(thrift::Value* meta) const;
  void UpdateStatistics(thrift::Value* meta) const;
  void UpdateSizeStatistics(thrift::Value* meta) const;

  const BaseChunk* chunk_ = nullptr;
  const ListedPages* pages_ = nullptr;
  const ValueOrder* order_ = nullptr;
  PageLoader* loader_ = nullptr;
  ByteBuffer* compressed_ = nullptr;
  GuardedPool* pool_ = nullptr;
  ParquetAssembler* assembler_ = nullptr;
  std::unique_ptr<PatchedIndexes> indexes_;
  std::unique_ptr<parquet::BlockSplitBloomFilter> bloom_;
  ValueBounds bounds_{nullptr, false};
  bool trusted_ = false;  ///< bounds of this writer can be believed
  std::vector<EncodingCount> encodings_;
  int64_t first_page_ = -1;  ///< offset of the first data page
  int64_t start_ = 0;
  int64_t dictionary_offset_ = -1;
  int64_t rows_ = 0;
  int64_t nulls_delta_ = 0;
  int64_t rows_delta_ = 0;
  int64_t value_bytes_delta_ = 0;
  int64_t uncompressed_ = 0;
};

}  // namespace floodwall

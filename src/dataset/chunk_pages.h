#pragma once

/// The pages of one column chunk: listed from their headers, read one by one into memory that
/// is used again, with levels and values told apart. The page patcher is the caller.
///
/// Threading: one thread a loader. Errors: kUnsupportedFile for headers, checksums or bodies
/// that do not fit together, IOError of the system. Units: bytes, rows. Lifetime: a loaded page
/// lives until the loader's next Load. Memory: from the loader's pool, a page compressed and
/// the same page uncompressed; a list of pages from its own.

#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "arrow/util/compression.h"
#include "dataset/byte_buffer.h"
#include "dataset/parquet_source.h"
#include "floodwall/guarded_pool.h"

namespace floodwall {

/// One column chunk as its footer describes it.
struct BaseChunk {
  static arrow::Result<BaseChunk> Of(std::shared_ptr<ParquetSource> file, int row_group,
                                     int column);

  std::shared_ptr<ParquetSource> file;
  int row_group = 0;
  int column = 0;
  const parquet::ColumnDescriptor* descr = nullptr;
  ChunkRange range;
  int64_t num_rows = 0;
  arrow::Compression::type compression = arrow::Compression::UNCOMPRESSED;
  /// Its minimum and maximum come from a writer that had them right.
  bool trusted_statistics = false;
  thrift::Value tree;  ///< parquet.thrift ColumnChunk
};

/// What one page header says.
struct PageEntry {
  int64_t offset = 0;  ///< of the header
  int32_t header_bytes = 0;
  int32_t compressed_bytes = 0;
  int32_t uncompressed_bytes = 0;
  int32_t num_values = 0;        ///< nulls included
  int32_t definition_bytes = 0;  ///< version 2 only
  int8_t encoding = -1;
  bool v2 = false;
  bool is_compressed = true;

  bool dictionary_encoded() const;
  int64_t total_bytes() const { return int64_t{header_bytes} + compressed_bytes; }
};

/// What its page headers say together.
struct ChunkPages {
  std::optional<PageEntry> dictionary;
  /// All pages are of known kinds, with levels in the encoding of today.
  bool plain_layout = true;
  int64_t num_pages = 0;  ///< data pages
  int64_t num_values = 0;
  int64_t max_compressed_bytes = 0;
  int64_t max_uncompressed_bytes = 0;
  int64_t max_values = 0;
  int64_t max_direct_bytes = 0;  ///< uncompressed, of pages that are not dictionary encoded
  std::bitset<64> encodings;     ///< of data pages; the last bit for unknown ones

  void Add(const PageEntry& page);
  bool Uses(int64_t encoding) const { return encodings.test(static_cast<size_t>(encoding)); }
  bool uses_dictionary() const;
};

/// And each of them, in memory of a pool.
struct ListedPages : ChunkPages {
  /// What a page takes at most: the list grows by halves.
  static constexpr int64_t kBytesPerPage = sizeof(PageEntry) * 3 / 2;

  explicit ListedPages(GuardedPool* pool) : entries(pool) {}
  ByteBuffer entries;
  std::span<const PageEntry> data;
};

/// Reads the page headers of a chunk (one small read each) and keeps nothing of each page.
/// `visit`, may be empty: called with every data page of a known kind, in order.
arrow::Result<ChunkPages> SumUpPages(
    const BaseChunk& chunk, const std::function<arrow::Status(const PageEntry&)>& visit = {});

/// Reads them and keeps them.
arrow::Result<ListedPages> ListPages(const BaseChunk& chunk, GuardedPool* pool);

/// The page whose header is at `position`; it ends at `end` at the latest. Nothing where it is of
/// an unknown kind, or is a dictionary and should be data, or the other way round.
arrow::Result<std::optional<PageEntry>> ReadPageEntry(const ParquetSource& file, int64_t position,
                                                      int64_t end, bool dictionary);

/// A page in memory. `levels` are the runs of the definition levels without a length.
struct LoadedPage {
  thrift::Value header;
  std::span<const uint8_t> compressed;
  std::span<uint8_t> body;  ///< levels and values as they lie uncompressed
  std::span<uint8_t> levels;
  std::span<uint8_t> values;
};

class PageLoader {
 public:
  explicit PageLoader(GuardedPool* pool) : raw_(pool), body_(pool), pool_(pool) {}

  /// Goes to another chunk.
  arrow::Status Open(const BaseChunk& chunk);
  /// Reads, checks and decompresses.
  arrow::Result<LoadedPage> Load(const PageEntry& entry);
  arrow::util::Codec* codec() const { return codec_.get(); }  ///< null: not compressed
  /// Large pages are not kept for a chunk that does not need them.
  void Trim(int64_t keep_bytes);

 private:
  arrow::Status Corrupt(const char* why) const;

  std::shared_ptr<ParquetSource> file_;
  std::shared_ptr<arrow::io::RandomAccessFile> input_;
  std::unique_ptr<arrow::util::Codec> codec_;
  arrow::Compression::type compression_ = arrow::Compression::UNCOMPRESSED;
  bool optional_ = false;
  ByteBuffer raw_;
  ByteBuffer body_;
  GuardedPool* pool_;
};

}  // namespace floodwall

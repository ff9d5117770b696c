#pragma once

/// The pages of one column chunk: listed from their headers, read one by one into memory that
/// is used again, with levels and values told apart. The page patcher is the caller.
///
/// Threading: one thread a loader. Errors: kUnsupportedFile for headers, checksums or bodies
/// that do not fit together, IOError of the system. Units: bytes, rows. Lifetime: a loaded page
/// lives until the loader's next Load. Memory: from the loader's pool, a page compressed and
/// the same page uncompressed.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

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

/// Its pages. Their entries are charged to the file's budget.
struct ChunkPages {
  std::optional<PageEntry> dictionary;
  std::vector<PageEntry> data;
  /// All pages are of known kinds, with levels in the encoding of today.
  bool plain_layout = true;
  int64_t num_values = 0;
  int64_t max_compressed_bytes = 0;
  int64_t max_uncompressed_bytes = 0;
  int64_t max_values = 0;
  Reservation charge;
};

/// Reads the page headers of a chunk (one small read each).
arrow::Result<ChunkPages> ListPages(const BaseChunk& chunk);

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

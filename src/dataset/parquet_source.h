#pragma once

/// One Parquet file of a dataset, opened for reading: an index of its footer, which stays in the
/// file, and parts of the footer parsed when they are asked for: Arrow's metadata of one row
/// group (types, statistics, readers) and raw trees of single chunks (byte-for-byte copies).
///
/// Threading: may be shared between threads; reads use pread.
/// Errors: kUnsupportedFile for corrupt or encrypted files and for what is no regular file,
/// OutOfMemory when the budget or the system has no memory, IOError for the system's; nothing
/// thrown leaves. Units: bytes. Lifetime: owns its file descriptor; the memory of the index and
/// of what was parsed is charged to the budget given to Open until destroyed.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "arrow/type_fwd.h"
#include "dataset/byte_buffer.h"
#include "dataset/chunk_metadata.h"
#include "dataset/compact_thrift.h"
#include "dataset/footer_index.h"
#include "floodwall/budget.h"
#include "parquet/metadata.h"

namespace floodwall {

/// What the page headers of one column chunk say. Sizes without the headers themselves.
struct PageSummary {
  int32_t page_count = 0;  ///< data pages
  int64_t max_compressed_bytes = 0;
  int64_t max_uncompressed_bytes = 0;
  int64_t dictionary_compressed_bytes = 0;
  int64_t dictionary_uncompressed_bytes = 0;
  bool has_dictionary = false;
  bool all_dictionary_encoded = false;  ///< every data page holds dictionary indices
  bool data_page_v2 = false;            ///< some data page is version 2
  bool has_crc = false;
  int64_t fallback_encoding = -1;  ///< of the last page not dictionary encoded; -1 for none
};

class ParquetSource : public std::enable_shared_from_this<ParquetSource> {
 public:
  /// Opens and validates: magic at both ends, footer and schema agree on the columns, every chunk
  /// lies inside the file and before the footer.
  static arrow::Result<std::shared_ptr<ParquetSource>> Open(const std::string& path,
                                                            std::shared_ptr<Budget> budget);
  /// footer_need() of a file without opening it, in a fixed 64 KiB: for the message that a budget
  /// is too small for it.
  static arrow::Result<int64_t> MeasureFooter(const std::string& path);
  ~ParquetSource();
  ParquetSource(const ParquetSource&) = delete;
  ParquetSource& operator=(const ParquetSource&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }
  int64_t size_bytes() const { return size_; }
  const std::shared_ptr<Budget>& budget() const { return budget_; }

  int64_t num_rows() const { return index_.num_rows; }
  int num_row_groups() const { return static_cast<int>(index_.row_groups.size()); }
  int num_columns() const { return header_->num_columns(); }
  int64_t row_group_rows(int row_group) const {
    return index_.row_groups[static_cast<size_t>(row_group)].num_rows;
  }
  const parquet::SchemaDescriptor& schema() const { return *header_->schema(); }
  const std::shared_ptr<const parquet::KeyValueMetadata>& key_value_metadata() const {
    return header_->key_value_metadata();
  }

  /// Arrow's metadata of the file with this row group only, which is row group 0 in it. The last
  /// one asked for is kept. Charged while anybody holds it.
  arrow::Result<std::shared_ptr<parquet::FileMetaData>> RowGroupMetadata(int row_group) const;
  /// The same with some of its chunks replaced: encoded ColumnChunks by column. Nothing is kept;
  /// what RowGroupMetadata kept is let go first, so that no more than one is held.
  arrow::Result<std::shared_ptr<parquet::FileMetaData>> ReplacedMetadata(
      int row_group, const std::map<int, std::string>& chunks) const;
  /// parquet.thrift FileMetaData as it is encoded, without num_rows and row_groups.
  const std::string& footer_header() const { return index_.header; }
  /// parquet.thrift RowGroup without its columns.
  arrow::Result<thrift::Value> ReadRowGroupFields(int row_group) const;
  /// The bytes of the footer that hold a row group; the caller charges row_group_bytes before.
  arrow::Result<std::string> ReadRowGroupBytes(int row_group) const;
  int64_t row_group_bytes(int row_group) const {
    const FooterIndex::RowGroup& group = index_.row_groups[static_cast<size_t>(row_group)];
    return static_cast<int64_t>(group.end - group.begin);
  }
  /// The encoded ColumnChunk in those.
  std::string_view chunk_bytes(std::string_view row_group_bytes, int row_group, int column) const;
  /// parquet.thrift ColumnChunk.
  arrow::Result<thrift::Value> ReadChunk(int row_group, int column) const;
  ChunkRange chunk_range(int row_group, int column) const {
    const FooterIndex::Chunk& chunk = index_.chunk(row_group, column);
    return {chunk.data_begin, chunk.data_length};
  }
  bool has_bloom_filter(int row_group, int column) const {
    return index_.chunk(row_group, column).has_bloom_filter;
  }
  bool has_page_index(int row_group, int column) const {
    return index_.chunk(row_group, column).has_page_index;
  }

  /// Of the budget, what one of Arrow's file readers takes, beside pages and values.
  int64_t reader_bytes() const { return ReaderBytes(index_); }
  /// What this takes while one row group is read, beside pages and values.
  int64_t footer_need() const { return FooterNeed(index_); }
  /// A reader over the same descriptor; keeps this alive. Buffers come from `pool`.
  std::shared_ptr<arrow::io::RandomAccessFile> OpenInput(arrow::MemoryPool* pool);
  /// The caller charges `length` before, where it can be large.
  arrow::Result<std::string> ReadRange(int64_t offset, int64_t length) const;
  /// The same into memory of a pool.
  arrow::Status ReadRange(int64_t offset, int64_t length, ByteBuffer* out) const;
  /// Walks the page headers of a chunk through a small window.
  arrow::Result<PageSummary> ScanPages(int row_group, int column) const;
  /// Header and bitset of a chunk's bloom filter; length 0 when it has none.
  arrow::Result<ChunkRange> FindBloomFilter(int row_group, int column) const;
  /// Reads it; `charge` grows by its length before. Empty for none.
  arrow::Result<std::string> ReadBloomFilter(int row_group, int column, Reservation* charge) const;

  /// kUnsupportedFile naming the file.
  arrow::Status Corrupt(const std::string& why) const;

 private:
  struct Parsed;
  ParquetSource(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  static arrow::Result<std::shared_ptr<ParquetSource>> OpenFile(const std::string& path);
  /// Turns what `work` refuses or throws into a status that names the file.
  template <typename Work>
  arrow::Status Named(const Work& work) const;
  arrow::Status FindFooter(int64_t* begin, int64_t* end);
  arrow::Status Load();
  arrow::Status CheckColumns() const;
  arrow::Status CheckRange(int64_t offset, int64_t length) const;
  arrow::Status ReadWhole(int64_t offset, int64_t length, void* out) const;
  arrow::Result<std::shared_ptr<Parsed>> Parse(int row_group,
                                               const std::map<int, std::string>& chunks) const;

  const std::string path_;
  const int fd_;
  int64_t size_ = 0;
  std::shared_ptr<Budget> budget_;
  Reservation charge_;
  FooterIndex index_;
  std::shared_ptr<parquet::FileMetaData> header_;  ///< without row groups
  mutable std::mutex mutex_;                       ///< of the two below
  mutable std::shared_ptr<Parsed> last_;
  mutable int last_row_group_ = -1;
};

}  // namespace floodwall

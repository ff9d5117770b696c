#pragma once

/// One Parquet file of a dataset, opened for reading: its footer as Arrow's metadata (types,
/// statistics) and as a raw tree (for byte-for-byte copies), and its pages' sizes.
///
/// Threading: immutable after Open, shared between threads; reads use pread.
/// Errors: kUnsupportedFile for corrupt or encrypted files, IOError for the system's;
/// nothing thrown leaves. Units: bytes. Lifetime: owns its file descriptor; the memory of
/// the footers is charged to the budget given to Open until destroyed.

#include <cstdint>
#include <memory>
#include <string>

#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "arrow/type_fwd.h"
#include "dataset/compact_thrift.h"
#include "floodwall/budget.h"
#include "parquet/metadata.h"

namespace floodwall {

/// Where the bytes of one column chunk lie: dictionary page (if any) and data pages.
struct ChunkRange {
  int64_t offset = 0;
  int64_t length = 0;
};

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
  /// Footer memory as a multiple of the footer's bytes, for Arrow's Thrift objects and our tree:
  /// 54 to 65 were measured on five files of four writers; charged with a margin.
  static constexpr int64_t kFooterExpansion = 72;

  /// Opens and validates: magic at both ends, both parsers agree on row groups and columns,
  /// every chunk lies inside the file and before the footer.
  static arrow::Result<std::shared_ptr<ParquetSource>> Open(const std::string& path,
                                                            std::shared_ptr<Budget> budget);
  ~ParquetSource();
  ParquetSource(const ParquetSource&) = delete;
  ParquetSource& operator=(const ParquetSource&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }
  int64_t size_bytes() const { return size_; }
  const std::shared_ptr<parquet::FileMetaData>& metadata() const { return metadata_; }
  /// parquet.thrift FileMetaData.
  const thrift::Value& footer() const { return footer_; }
  const thrift::Value& row_group_tree(int row_group) const;
  const thrift::Value& chunk_tree(int row_group, int column) const;
  ChunkRange chunk_range(int row_group, int column) const;
  bool has_page_index(int row_group, int column) const;

  /// A reader over the same descriptor; keeps this alive. Buffers come from `pool`.
  std::shared_ptr<arrow::io::RandomAccessFile> OpenInput(arrow::MemoryPool* pool);
  arrow::Result<std::string> ReadRange(int64_t offset, int64_t length) const;
  /// Walks the page headers of a chunk (one small pread each).
  arrow::Result<PageSummary> ScanPages(int row_group, int column) const;
  /// Header and bitset; empty when the chunk has none or its length cannot be known.
  arrow::Result<std::string> ReadBloomFilter(int row_group, int column) const;

 private:
  ParquetSource(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  arrow::Status Load(std::shared_ptr<Budget> budget);
  arrow::Status Validate() const;
  arrow::Status Corrupt(const std::string& why) const;

  const std::string path_;
  const int fd_;
  int64_t size_ = 0;
  int64_t footer_start_ = 0;
  Reservation charge_;
  std::shared_ptr<parquet::FileMetaData> metadata_;
  thrift::Value footer_;
};

}  // namespace floodwall

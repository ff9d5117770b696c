#pragma once

/// The column index and the offset index of a patched chunk, made page by page while the pages are
/// written: entries of the base's own for pages that are copied, new ones for those that changed.
/// PatchedChunk is the caller.
///
/// Both stay encoded, the base's as they were read and the new ones list by list: a chunk may have
/// a page for every few rows, and a tree of its indexes takes a hundred times their bytes.
///
/// Threading: one thread. Errors: kUnsupportedFile for an index that is no Thrift, OutOfMemory.
/// Units: bytes, rows. Lifetime: borrows chunk, pages and order. Memory: from the pool, within
/// Need().

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "arrow/result.h"
#include "dataset/byte_buffer.h"
#include "dataset/chunk_pages.h"
#include "dataset/thrift_cursor.h"
#include "dataset/value_order.h"

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

/// Where a page of the new chunk is.
struct PagePlace {
  size_t base_page = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
  int64_t rows = 0;
};

class PatchedIndexes {
 public:
  /// trusted: bounds of the chunk's writer can be believed.
  static arrow::Result<std::unique_ptr<PatchedIndexes>> Make(const BaseChunk* chunk,
                                                             const ChunkPages* pages,
                                                             const ValueOrder* order, bool trusted,
                                                             GuardedPool* pool);

  /// Bytes of the new indexes at most, where `num_edits` values change, of which the longest has
  /// `longest` bytes.
  static int64_t BytesAfter(const thrift::Value& chunk, const ChunkPages& pages, int64_t num_edits,
                            int64_t longest);
  /// Memory that an object takes, with the new indexes.
  static int64_t Need(const thrift::Value& chunk, int64_t bytes_after);

  /// Goes to a page of the base; they ascend.
  arrow::Status Seek(size_t base_page);
  /// Bounds of the page last sought; nothing without a column index.
  std::optional<ValueBounds> Bounds() const;

  /// The next page of the new chunk, which is one of the base's, or a change of it.
  arrow::Status AddCopied(const PagePlace& place);
  arrow::Status AddChanged(const PagePlace& place, const PageChange& change);

  /// Serialized, empty for none. Each frees what it was made from.
  arrow::Result<std::string> TakeColumnIndex();
  arrow::Result<std::string> TakeOffsetIndex();

 private:
  /// In a list a boolean is a byte: 1 is true, 2 (or, of some writers, 0) false.
  static constexpr uint8_t kTrueByte = 1;
  static constexpr uint8_t kFalseByte = 2;
  /// A list of the base's, read element by element.
  struct BaseList {
    thrift::Cursor cursor{std::string_view()};
    thrift::Type element = thrift::Type::kStop;
    int64_t count = -1;
  };
  /// What the column index says of a page, and the size of its values.
  struct Entry {
    uint8_t null_page = 0;
    std::string_view min;
    std::string_view max;
    int64_t nulls = 0;
    int64_t levels[2] = {0, 0};
    int64_t value_bytes = 0;
  };

  PatchedIndexes(const BaseChunk* chunk, const ChunkPages* pages, const ValueOrder* order,
                 GuardedPool* pool);
  arrow::Status LoadColumnIndex(bool trusted);
  arrow::Status LoadOffsetIndex();
  arrow::Status AddLocation(const PagePlace& place);
  arrow::Status AddEntry(const Entry& entry);
  void CheckOrder(std::string_view min, std::string_view max);

  const BaseChunk* chunk_;
  const ChunkPages* pages_;
  const ValueOrder* order_;
  ByteBuffer base_columns_;  ///< the base's column index
  ByteBuffer base_offsets_;
  bool has_column_index_ = false;
  bool has_offset_index_ = false;
  bool has_null_counts_ = false;
  bool has_levels_ = false;
  bool has_value_bytes_ = false;
  BaseList null_pages_;
  BaseList mins_;
  BaseList maxs_;
  BaseList null_counts_;
  BaseList levels_;
  BaseList value_bytes_;
  int64_t boundary_order_ = 0;
  size_t next_page_ = 0;  ///< of the base
  Entry entry_;           ///< of the page before that

  // The new lists without their heads.
  int64_t num_pages_ = 0;
  int64_t num_rows_ = 0;
  ByteBuffer new_null_pages_;
  ByteBuffer new_mins_;
  ByteBuffer new_maxs_;
  ByteBuffer new_null_counts_;
  ByteBuffer new_levels_;
  ByteBuffer new_locations_;
  ByteBuffer new_value_bytes_;
  bool bounded_ = true;  ///< every page has bounds, or only nulls
  bool order_holds_ = true;
  bool any_bounds_ = false;  ///< the two below are of some page
  std::string last_min_;
  std::string last_max_;
};

}  // namespace floodwall

#pragma once

/// The page index of one flat column chunk: where its pages lie, which rows they have and within
/// which bounds their values are. The pruning of a merge's match asks it.
///
/// An index that contradicts itself or the chunk is as good as none: it only spares reading.
///
/// Threading: immutable once read. Errors: IOError of the system only. Units: bytes, rows.
/// Lifetime: values; bounds are views into it. Memory: charged to the file's budget.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/result.h"
#include "dataset/parquet_source.h"

namespace floodwall {

struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const RowRange&) const = default;
};

class PageIndex {
 public:
  struct Page {
    ByteRange bytes;  ///< header included
    RowRange rows;
  };
  /// As encoded in PLAIN without a length, perhaps wider than the values; bytes that are no value
  /// of the column are possible.
  struct Bounds {
    std::string_view min, max;
    std::optional<int64_t> null_count;
    bool all_null = false;
  };

  /// Nothing without an index that can be taken at its word, of `max_bytes` at most.
  static arrow::Result<std::optional<PageIndex>> Read(const ParquetSource& file, int row_group,
                                                      int column, int64_t max_bytes);

  const std::vector<Page>& pages() const { return pages_; }
  /// Of the dictionary page, where there is one, before the first data page.
  int64_t dictionary_bytes() const { return dictionary_bytes_; }
  /// Whether Bounds of pages may be asked for.
  bool has_bounds() const { return !bounds_.empty(); }
  const Bounds& bounds(size_t page) const { return bounds_[page]; }
  /// Of the index itself.
  int64_t index_bytes() const { return index_bytes_; }

 private:
  bool ReadOffsets(std::string_view encoded, const ByteRange& chunk, int64_t rows);
  bool ReadBounds(std::string_view encoded);

  Reservation charge_;
  std::vector<char> encoded_;  ///< of the column index; stays where it is when this moves
  std::vector<Page> pages_;
  std::vector<Bounds> bounds_;
  int64_t dictionary_bytes_ = 0;
  int64_t index_bytes_ = 0;
};

}  // namespace floodwall

#pragma once

/// Which rows of a row group can have a key of the source, before any key is decoded: asked of
/// statistics, bloom filters, the page index and dictionaries, in this order. Matching is the
/// caller.
///
/// - Bloom filter: no value of one key column is in it (few values only).
/// - Page index: rows whose page, in every key column, may hold a value.
/// - Dictionary: where it is the exact set of a chunk's values and small beside what else would be
///   read, none of its entries is a value of the source.
///
/// A doubt keeps: rows are left out only where file and source compare (KeyValues::CanCompare),
/// where nulls cannot match nulls, and where what the file says of itself holds together.
///
/// Threading: from many. Errors: of reading the file. Units: rows, bytes. Lifetime: `pages` holds
/// the file. Memory: index, dictionary page and ranges, charged to budget and pool; what does not
/// fit is not asked.

#include <cstdint>
#include <memory>
#include <vector>

#include "arrow/result.h"
#include "dataset/selected_pages.h"
#include "floodwall/budget.h"
#include "floodwall/guarded_pool.h"
#include "merge/key_ranges.h"

namespace floodwall {

struct KeptRows {
  /// Ascending, apart. Whoever is in none of them matches nothing.
  std::vector<RowRange> ranges;
  /// Where only some pages of the key columns need be read.
  std::shared_ptr<const SelectedPages> pages;
  int64_t bytes_read = 0;  ///< of what was asked
  Reservation charge;      ///< of the ranges

  int64_t num_rows() const {
    int64_t rows = 0;
    for (const RowRange& range : ranges) rows += range.end - range.begin;
    return rows;
  }
};

arrow::Result<KeptRows> FindKeptRows(const KeyRanges& keys,
                                     const std::shared_ptr<ParquetSource>& file, int row_group,
                                     GuardedPool* pool);

}  // namespace floodwall

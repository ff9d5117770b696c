#pragma once

/// Which values the source's keys take, to leave out row groups of the target that hold none.
///
/// A row group whose statistics (parquet.thrift Statistics, min_value and max_value) of one key
/// column meet none of the source's values has no row that matches. Whatever is in doubt keeps
/// the row group: types that KeyValues does not know, statistics that are missing or that Arrow
/// does not trust, nulls on both sides. What statistics cannot exclude, FindKeptRows
/// (merge/row_group_pruning.h) asks page index, dictionary and bloom filter.
///
/// Threading: Observe from one thread; afterwards MayMatch from many. Errors: MayMatch, of reading
/// a footer. Memory: KeyValues' for each key column. Lifetime: values.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow/array.h"
#include "arrow/result.h"
#include "dataset/parquet_source.h"
#include "merge/key_values.h"

namespace floodwall {

class KeyRanges {
 public:
  /// Beyond so many source rows a batch is covered by one interval: sorting would cost more than
  /// it spares.
  static constexpr int64_t kMostSortedRows = int64_t{4} << 20;

  /// A key column that lies in a file, and what is known of the source's.
  struct StoredKey {
    const KeyValues* values = nullptr;
    int leaf = 0;
  };

  KeyRanges() = default;  ///< of no columns: everything may match
  /// `source_rows`: how many will be observed.
  KeyRanges(const std::vector<std::string>& key_columns, int64_t source_rows);

  /// One array a key column.
  void Observe(const std::vector<std::shared_ptr<arrow::Array>>& columns);

  /// The key columns of a file. Not those of its path.
  std::vector<StoredKey> StoredIn(const ParquetSource& file) const;

  /// False when no row of the row group can have a key of the source, by its statistics.
  arrow::Result<bool> MayMatch(const ParquetSource& file, int row_group) const;

 private:
  std::vector<KeyValues> columns_;
};

}  // namespace floodwall

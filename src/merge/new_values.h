#pragma once

/// The values that the edits of one column chunk put in, as bytes: Parquet's PLAIN encoding
/// without lengths, whatever the type. The page patcher is the caller.
///
/// Threading: one thread. Errors: kSchemaMismatch for values that do not fit the column.
/// Lifetime: views stay valid until Forget() passes their edit. Memory: from the encode pool, the
/// slices between the last Forget() and the last Seek().

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "arrow/array.h"
#include "arrow/result.h"
#include "merge/column_recoder.h"
#include "parquet/schema.h"

namespace floodwall {

class NewValues {
 public:
  NewValues(const std::vector<RowMatch>* edits, const ColumnRecoder::TakeValues* take,
            const parquet::ColumnDescriptor* column, GuardedPool* pool)
      : edits_(edits), take_(take), column_(column), pool_(pool) {}

  /// Makes the edits [first, last) readable, on top of those after the last Forget().
  arrow::Status Seek(size_t first, size_t last);
  /// Edits before `first` are not asked for any more.
  void Forget(size_t first);

  bool removes(size_t edit) const { return (*edits_)[edit].ordinal == RowMatch::kRemoved; }
  /// False: the new value is null.
  bool defined(size_t edit) { return Find(edit).data() != nullptr; }
  std::string_view value(size_t edit) { return Find(edit); }

 private:
  struct Slice {
    size_t first = 0;
    std::vector<std::string_view> values;  ///< no data: null, or a removed row
    std::shared_ptr<arrow::Buffer> pages;
  };
  std::string_view Find(size_t edit) {
    // Edits are asked for in order: the slice of the last one is nearly always right.
    while (edit < slices_[at_].first) --at_;
    while (edit >= slices_[at_].first + slices_[at_].values.size()) ++at_;
    return slices_[at_].values[edit - slices_[at_].first];
  }
  arrow::Status Load(size_t first);
  arrow::Status ReadPages(const std::vector<size_t>& places, Slice* slice) const;

  const std::vector<RowMatch>* edits_;
  const ColumnRecoder::TakeValues* take_;
  const parquet::ColumnDescriptor* column_;
  GuardedPool* pool_;
  std::deque<Slice> slices_;
  size_t at_ = 0;
};

/// Bytes of a value of fixed width; 0 for byte arrays, 1 for booleans.
int64_t FixedWidth(const parquet::ColumnDescriptor& column);

}  // namespace floodwall

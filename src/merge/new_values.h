#pragma once

/// The values that the edits of one column chunk put in, as bytes: Parquet's PLAIN encoding
/// without lengths, whatever the type. The page patcher is the caller.
///
/// Threading: one thread. Errors: kSchemaMismatch for values that do not fit the column.
/// Lifetime: views stay valid until another slice is loaded. Memory: from the encode pool, within
/// Need(): a slice, whose rows are fewer where values are long.

#include <cstdint>
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

  static int64_t Need(int64_t edits, int64_t longest) {
    // Its values, and for a moment again as they were taken; a page of those of fixed width.
    return 3 * ColumnRecoder::SliceNeed(edits, longest);
  }

  /// From now on only edits whose bit is set are read.
  void SkipOthers(const uint8_t* bits) {
    wanted_ = bits;
    values_.clear();
  }
  /// Makes an edit readable, and those behind it that are loaded with it.
  arrow::Status Seek(size_t edit) { return Holds(edit) ? arrow::Status::OK() : Load(edit); }
  bool Holds(size_t edit) const { return edit >= first_ && edit < first_ + values_.size(); }

  bool removes(size_t edit) const { return (*edits_)[edit].ordinal == RowMatch::kRemoved; }
  /// False: the new value is null.
  bool defined(size_t edit) const { return values_[edit - first_].data() != nullptr; }
  std::string_view value(size_t edit) const { return values_[edit - first_]; }

 private:
  arrow::Status Load(size_t first);
  bool Reads(size_t edit) const {
    return !removes(edit) && (wanted_ == nullptr || (wanted_[edit / 8] >> (edit % 8) & 1) != 0);
  }
  arrow::Result<bool> HasPhysicalLayout();
  void ReadFixed(const std::vector<size_t>& places);
  arrow::Status ReadArray(const std::vector<size_t>& places);
  arrow::Status ReadPages(const std::vector<size_t>& places);

  const std::vector<RowMatch>* edits_;
  const ColumnRecoder::TakeValues* take_;
  const parquet::ColumnDescriptor* column_;
  GuardedPool* pool_;
  const uint8_t* wanted_ = nullptr;
  // The slice.
  size_t first_ = 0;
  std::vector<std::string_view> values_;  ///< no data: null, or a removed row
  std::shared_ptr<arrow::Array> array_;   ///< where they lie, most of them
  std::shared_ptr<arrow::Buffer> pages_;  ///< others
};

/// Bytes of a value of fixed width; 0 for byte arrays, 1 for booleans.
int64_t FixedWidth(const parquet::ColumnDescriptor& column);

}  // namespace floodwall

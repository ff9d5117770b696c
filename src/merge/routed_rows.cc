#include "merge/routed_rows.h"

#include <algorithm>
#include <map>
#include <utility>

#include "arrow/array/concatenate.h"
#include "arrow/table.h"
#include "arrow/util/byte_size.h"
#include "floodwall/bytes.h"
#include "merge/ordinal_places.h"
#include "merge/row_router.h"

namespace floodwall {

/// The rows of some neighbouring windows. One window is open at a time: its ordinals, and those
/// of its columns that fit.
class WindowRows final : public RowSet {
 public:
  WindowRows(const RoutedRows* routed, size_t first, size_t last, int64_t share)
      : routed_(routed), first_(first), last_(last), share_(share) {}

  arrow::Result<std::shared_ptr<arrow::Array>> Take(int column, std::span<const int64_t> ordinals,
                                                    arrow::MemoryPool* pool) const override {
    arrow::ArrayVector pieces;
    for (size_t next = 0; next < ordinals.size();) {
      // Ordinals come in the order of positions, so most are in the window that is open. A row
      // that several windows want is the same in each.
      ARROW_ASSIGN_OR_RAISE(const auto positions, OpenFor(ordinals.subspan(next)));
      ARROW_ASSIGN_OR_RAISE(const auto rows, Column(column));
      ARROW_ASSIGN_OR_RAISE(auto piece, TakePiece(rows, positions, pool));
      pieces.push_back(std::move(piece));
      next += positions.size();
    }
    return pieces.size() == 1 ? pieces.front() : arrow::Concatenate(pieces, pool);
  }

  /// Not beyond the window of the first.
  arrow::Result<int64_t> CountWithin(int column, const std::shared_ptr<arrow::Array>& positions,
                                     int64_t bytes) const override {
    const auto& typed = static_cast<const arrow::Int64Array&>(*positions);
    const std::span ordinals(typed.raw_values(), static_cast<size_t>(typed.length()));
    if (ordinals.empty()) return 0;
    ARROW_ASSIGN_OR_RAISE(const auto open, OpenFor(ordinals));
    ARROW_ASSIGN_OR_RAISE(const auto rows, Column(column));
    return floodwall::CountWithin(*rows, open, bytes);
  }

 private:
  /// Opens the window that has the first ordinal; returns where the leading ones are in it.
  arrow::Result<std::vector<int64_t>> OpenFor(std::span<const int64_t> ordinals) const {
    std::vector<int64_t> positions;
    positions.reserve(ordinals.size());
    for (size_t tried = 0; positions.empty(); ++tried) {
      if (tried > last_ - first_) {
        return arrow::Status::UnknownError("a matched row was not routed");
      }
      if (open_ == SIZE_MAX || tried > 0) {
        ARROW_RETURN_NOT_OK(Open(open_ == SIZE_MAX || open_ + 1 == last_ ? first_ : open_ + 1));
      }
      for (const int64_t ordinal : ordinals) {
        const int64_t position = places_.Find(ordinal);
        if (position == OrdinalPlaces::kNone) break;
        positions.push_back(position);
      }
    }
    return positions;
  }

  arrow::Status Open(size_t window) const {
    columns_.clear();
    held_ = 0;
    places_ = OrdinalPlaces();
    open_ = window;
    GuardedPool* pool = routed_->context_->payload_pool;
    const RowSpill& spill = *routed_->payloads_.front();
    const int chain = static_cast<int>(window);
    // Twice while the places are made.
    ARROW_ASSIGN_OR_RAISE(charge_, Reservation::Make(pool->budget(), spill.rows(chain) * 16));
    std::vector<int64_t> ordinals;
    ordinals.reserve(static_cast<size_t>(spill.rows(chain)));
    for (const RowRegion& region : spill.regions(chain)) {
      ARROW_ASSIGN_OR_RAISE(const auto values, spill.ReadColumn(region, 0, pool));
      const auto& typed = static_cast<const arrow::Int64Array&>(*values);
      ordinals.insert(ordinals.end(), typed.raw_values(), typed.raw_values() + typed.length());
    }
    places_ = OrdinalPlaces(std::move(ordinals));
    return charge_.Resize(spill.rows(chain) * 8);
  }

  /// One column of the open window; the others go when they do not fit beside it.
  arrow::Result<std::shared_ptr<arrow::ChunkedArray>> Column(int column) const {
    if (const auto known = columns_.find(column); known != columns_.end()) return known->second;
    // Other readers count on it that this one keeps to its share.
    if (held_ + routed_->widest_ * places_.size() > share_) {
      columns_.clear();
      held_ = 0;
    }
    auto read = ReadColumn(column);
    if (read.status().IsOutOfMemory() && !columns_.empty()) {
      columns_.clear();
      held_ = 0;
      read = ReadColumn(column);
    }
    ARROW_RETURN_NOT_OK(read.status());
    const int64_t bytes = arrow::util::TotalBufferSize(**read);
    if (held_ + bytes > share_) {
      columns_.clear();
      held_ = 0;
    }
    held_ += bytes;
    columns_[column] = *read;
    return *read;
  }

  arrow::Result<std::shared_ptr<arrow::ChunkedArray>> ReadColumn(int column) const {
    const auto& [payload, place] = routed_->places_[static_cast<size_t>(column)];
    const RowSpill& spill = *routed_->payloads_[static_cast<size_t>(payload)];
    arrow::ArrayVector chunks;
    for (const RowRegion& region : spill.regions(static_cast<int>(open_))) {
      ARROW_ASSIGN_OR_RAISE(auto values,
                            spill.ReadColumn(region, place, routed_->context_->payload_pool));
      chunks.push_back(std::move(values));
    }
    return std::make_shared<arrow::ChunkedArray>(std::move(chunks),
                                                 spill.schema()->field(place)->type());
  }

  arrow::Result<std::shared_ptr<arrow::Array>> TakePiece(
      std::shared_ptr<arrow::ChunkedArray> values, std::span<const int64_t> positions,
      arrow::MemoryPool* pool) const {
    const auto table =
        arrow::Table::Make(arrow::schema({arrow::field("", values->type())}), {values});
    return LoadedRows(table).Take(0, positions, pool);
  }

  const RoutedRows* routed_;
  const size_t first_;
  const size_t last_;
  const int64_t share_;
  // A cache: what Take returns does not depend on it.
  mutable size_t open_ = SIZE_MAX;
  mutable OrdinalPlaces places_;
  mutable Reservation charge_;
  mutable std::map<int, std::shared_ptr<arrow::ChunkedArray>> columns_;
  mutable int64_t held_ = 0;
};

arrow::Result<std::unique_ptr<RoutedRows>> RoutedRows::Make(const Target& target, RowSource* source,
                                                            std::vector<std::string> columns,
                                                            RecordSorter* matches, int64_t share,
                                                            RunContext* context) {
  auto out = std::unique_ptr<RoutedRows>(new RoutedRows());
  out->context_ = context;
  RowRouter router(target, source, std::move(columns), matches, share, context, out.get());
  ARROW_RETURN_NOT_OK(router.Run());
  matches->Release();
  return out;
}

arrow::Result<std::unique_ptr<RoutedReader>> RoutedReader::Make(
    std::shared_ptr<const RoutedRows> rows) {
  const auto budget = rows->context_->payload_pool->budget();
  auto out = std::unique_ptr<RoutedReader>(new RoutedReader(std::move(rows)));
  ARROW_ASSIGN_OR_RAISE(out->records_charge_, Reservation::Make(budget, 0));
  ARROW_ASSIGN_OR_RAISE(out->matches_charge_, Reservation::Make(budget, 0));
  return out;
}

arrow::Status RoutedReader::LoadRecords(size_t window) {
  if (loaded_ == window) return arrow::Status::OK();
  loaded_ = window;
  records_.clear();
  const int stream = static_cast<int>(window);
  const int64_t bytes = routed_->positions_->bytes(stream);
  ARROW_RETURN_NOT_OK(records_charge_.Resize(bytes));
  records_ = std::vector<SpillRecord>(static_cast<size_t>(bytes) / sizeof(SpillRecord));
  ARROW_ASSIGN_OR_RAISE(auto reader, SpillStreams::Reader::Make(routed_->positions_.get(), stream));
  ARROW_RETURN_NOT_OK(reader.Read(records_.data(), bytes));
  std::sort(records_.begin(), records_.end());
  return arrow::Status::OK();
}

arrow::Result<std::shared_ptr<const RowSet>> RoutedReader::Load(TargetRowGroup* group) {
  const std::vector<RowWindow>& windows = routed_->windows_;
  const int64_t end = group->first_row + group->num_rows;
  const auto first = std::upper_bound(windows.begin(), windows.end(), group->first_row,
                                      [](int64_t row, const RowWindow& w) { return row < w.last; });
  auto last = first;
  ARROW_RETURN_NOT_OK(
      matches_charge_.Resize(group->replaced * static_cast<int64_t>(sizeof(RowMatch))));
  group->matches.reserve(static_cast<size_t>(group->replaced));
  for (; last != windows.end() && last->first < end; ++last) {
    ARROW_RETURN_NOT_OK(LoadRecords(static_cast<size_t>(last - windows.begin())));
    auto record = std::lower_bound(records_.begin(), records_.end(),
                                   SpillRecord{group->first_row, INT64_MIN});
    for (; record != records_.end() && record->key < end; ++record) {
      group->matches.push_back({record->key - group->first_row, record->value});
    }
  }
  if (static_cast<int64_t>(group->matches.size()) != group->replaced) {
    return arrow::Status::UnknownError("matched rows were lost on their way");
  }
  const auto first_index = static_cast<size_t>(first - windows.begin());
  const auto last_index = static_cast<size_t>(last - windows.begin());
  // A window of several groups keeps its columns from one to the next.
  if (rows_first_ != first_index || rows_last_ != last_index) {
    rows_.reset();
    rows_ = std::make_shared<WindowRows>(routed_.get(), first_index, last_index, routed_->share_);
    rows_first_ = first_index;
    rows_last_ = last_index;
  }
  return rows_;
}

}  // namespace floodwall

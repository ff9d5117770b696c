#include "merge/row_router.h"

#include <algorithm>
#include <utility>

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "arrow/util/byte_size.h"
#include "floodwall/bytes.h"
#include "merge/plain_values.h"

namespace floodwall {
namespace {

const char kOrdinal[] = "";  ///< column of the ordinals, first of the first payload

}  // namespace

arrow::Status RowRouter::Run() {
  context_->progress.StartPhase("route", 0, source_->num_rows());
  ARROW_ASSIGN_OR_RAISE(wanted_charge_, Reservation::Make(context_->spill_pool->budget(), 0));
  ARROW_RETURN_NOT_OK(CutWindows());
  ARROW_RETURN_NOT_OK(GroupColumns());
  out_->places_.resize(static_cast<size_t>(source_->schema()->num_fields()), {-1, -1});
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (size_t c = 0; c < groups_[g].size(); ++c) {
      const int column = source_->schema()->GetFieldIndex(groups_[g][c]);
      out_->places_[static_cast<size_t>(column)] = {static_cast<int>(g),
                                                    static_cast<int>(c) + (g == 0 ? 1 : 0)};
    }
    if (g > 0) context_->progress.StartPhase("route", 0, source_->num_rows());
    ARROW_RETURN_NOT_OK(Route(groups_[g], g == 0));
  }
  return arrow::Status::OK();
}

arrow::Status RowRouter::CutWindows() {
  // Estimated on the first rows: twice as much is planned for.
  ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source_->LogicalBytesPerValue());
  double row = 0;
  double widest = 0;
  for (const std::string& name : columns_) {
    const auto column = static_cast<size_t>(source_->schema()->GetFieldIndex(name));
    const double bytes = 2 * (value_bytes[column] + 1);
    row += bytes;
    widest = std::max(widest, bytes);
  }
  out_->widest_ = static_cast<int64_t>(widest);
  const auto rows_of = [&](double bytes) {
    return std::max<int64_t>(
        1, static_cast<int64_t>(static_cast<double>(share_) /
                                (bytes + static_cast<double>(RoutedRows::kRowBytes))));
  };
  const int64_t whole_rows = rows_of(row);
  const int64_t column_rows = rows_of(widest);
  out_->share_ =
      std::max<int64_t>(kMiB, share_ - RoutedRows::kRowBytes * std::min(whole_rows, column_rows));
  int64_t in_window = 0;  // of the last window, while groups may still be added
  for (const TargetFile& file : target_.files()) {
    for (const TargetRowGroup& group : file.row_groups) {
      if (group.replaced == 0) continue;
      const int64_t end = group.first_row + group.num_rows;
      if (group.replaced > column_rows) {
        // A row has one new value: a stretch of so many rows cannot want more.
        for (int64_t first = group.first_row; first < end; first += column_rows) {
          out_->windows_.push_back({first, std::min(first + column_rows, end)});
        }
        in_window = INT64_MAX;
      } else if (in_window > 0 && in_window < INT64_MAX &&
                 in_window + group.replaced <= whole_rows) {
        out_->windows_.back().last = end;
        in_window += group.replaced;
      } else {
        out_->windows_.push_back({group.first_row, end});
        in_window = group.replaced;
      }
    }
  }
  return arrow::Status::OK();
}

int64_t RowRouter::WindowOf(int64_t position) const {
  const auto& windows = out_->windows_;
  return std::upper_bound(windows.begin(), windows.end(), position,
                          [](int64_t p, const RowWindow& w) { return p < w.last; }) -
         windows.begin();
}

arrow::Status RowRouter::GroupColumns() {
  const int64_t room = context_->budget->available_bytes();
  const int64_t reading = room / 3;
  run_bytes_ = std::max<int64_t>(room / 8, kMiB);
  int64_t need = 0;
  for (const std::string& name : columns_) {
    ARROW_ASSIGN_OR_RAISE(const int64_t column, source_->ReadNeed({name}));
    if (groups_.empty() || need + column > reading) {
      groups_.emplace_back();
      need = 0;
    }
    groups_.back().push_back(name);
    need += column;
  }
  if (groups_.empty()) groups_.emplace_back();
  return arrow::Status::OK();
}

arrow::Status RowRouter::Route(const std::vector<std::string>& columns, bool first_pass) {
  arrow::FieldVector fields;
  if (first_pass) fields.push_back(arrow::field(kOrdinal, arrow::int64(), false));
  for (const std::string& name : columns) {
    const auto field = source_->schema()->GetFieldByName(name);
    fields.push_back(field->WithType(PlainType(field->type())));
  }
  const int windows = static_cast<int>(out_->windows_.size());
  ARROW_ASSIGN_OR_RAISE(
      auto payload, RowSpill::Make(context_->spill.get(), arrow::schema(std::move(fields)), windows,
                                   context_->spill_pool));
  out_->payloads_.push_back(std::move(payload));
  if (first_pass) {
    const int64_t block = std::clamp<int64_t>(
        context_->budget->available_bytes() / 8 / std::max(windows, 1) / 16 * 16, 1024, 64 * kKiB);
    ARROW_ASSIGN_OR_RAISE(out_->positions_, SpillStreams::Make(context_->spill.get(), windows,
                                                               block, context_->spill_pool));
  }
  ARROW_RETURN_NOT_OK(matches_->Rewind());
  ARROW_ASSIGN_OR_RAISE(any_next_, matches_->Next(&next_));
  // Without columns to carry, the first column tells how many rows there are.
  const auto read = columns.empty() ? context_->options.key_columns : columns;
  ARROW_RETURN_NOT_OK(source_->ForEachBatch(
      read, [&](int64_t first, const arrow::RecordBatch& batch) -> arrow::Status {
        context_->progress.Advance(0, batch.num_rows());
        if (!columns.empty()) return RouteBatch(first, batch, first_pass);
        ARROW_ASSIGN_OR_RAISE(const auto bare, batch.SelectColumns({}));
        return RouteBatch(first, *bare, first_pass);
      }));
  ARROW_RETURN_NOT_OK(Flush());
  return first_pass ? out_->positions_->Finish() : arrow::Status::OK();
}

arrow::Status RowRouter::RouteBatch(int64_t first, const arrow::RecordBatch& batch,
                                    bool first_pass) {
  const int64_t end = first + batch.num_rows();
  arrow::Int64Builder rows(context_->read_pool);
  arrow::Int64Builder ordinals(context_->read_pool);
  int64_t last_ordinal = -1;
  int64_t last_window = -1;
  while (any_next_ && next_.key < end) {
    const int64_t window = WindowOf(next_.value);
    if (first_pass) {
      const SpillRecord position{next_.value, next_.key};
      ARROW_RETURN_NOT_OK(
          out_->positions_->Append(static_cast<int>(window), &position, sizeof(position)));
    }
    if (next_.key != last_ordinal) {
      ARROW_RETURN_NOT_OK(rows.Append(next_.key - first));
      ARROW_RETURN_NOT_OK(ordinals.Append(next_.key));
      last_window = -1;
    }
    // Positions of one ordinal ascend, and so do their windows.
    if (window != last_window) {
      wanted_.push_back({gathered_rows_ + rows.length() - 1, window});
    }
    last_ordinal = next_.key;
    last_window = window;
    ARROW_ASSIGN_OR_RAISE(any_next_, matches_->Next(&next_));
  }
  if (rows.length() == 0) return arrow::Status::OK();
  const int64_t count = rows.length();
  ARROW_ASSIGN_OR_RAISE(const auto indices, rows.Finish());
  arrow::compute::ExecContext exec(context_->payload_pool);
  exec.set_use_threads(false);
  arrow::ArrayVector columns;
  if (first_pass) {
    ARROW_ASSIGN_OR_RAISE(auto array, ordinals.Finish());
    columns.push_back(std::move(array));
  }
  for (const auto& column : batch.columns()) {
    ARROW_ASSIGN_OR_RAISE(auto plain, PlainValues(column, context_->read_pool));
    ARROW_ASSIGN_OR_RAISE(
        auto taken, arrow::compute::Take(*plain, *indices,
                                         arrow::compute::TakeOptions::NoBoundsCheck(), &exec));
    columns.push_back(std::move(taken));
  }
  gathered_.push_back(
      arrow::RecordBatch::Make(out_->payloads_.back()->schema(), count, std::move(columns)));
  gathered_rows_ += count;
  ARROW_ASSIGN_OR_RAISE(const int64_t bytes, arrow::util::ReferencedBufferSize(*gathered_.back()));
  gathered_bytes_ += bytes + count * static_cast<int64_t>(sizeof(Wanted));
  // They are sorted by way of a copy.
  const bool charged =
      wanted_charge_.Resize(2 * static_cast<int64_t>(wanted_.capacity() * sizeof(Wanted))).ok();
  return gathered_bytes_ >= run_bytes_ || !charged ? Flush() : arrow::Status::OK();
}

arrow::Status RowRouter::Flush() {
  if (gathered_.empty()) return arrow::Status::OK();
  // Source order within a window: ordinals ascend in each.
  std::stable_sort(wanted_.begin(), wanted_.end(),
                   [](const Wanted& a, const Wanted& b) { return a.window < b.window; });
  arrow::Int64Builder builder(context_->payload_pool);
  ARROW_RETURN_NOT_OK(builder.Reserve(static_cast<int64_t>(wanted_.size())));
  for (const Wanted& wanted : wanted_) builder.UnsafeAppend(wanted.row);
  ARROW_ASSIGN_OR_RAISE(const auto indices, builder.Finish());
  arrow::compute::ExecContext exec(context_->payload_pool);
  exec.set_use_threads(false);
  RowSpill* payload = out_->payloads_.back().get();
  arrow::ArrayVector sorted;
  for (int c = 0; c < payload->schema()->num_fields(); ++c) {
    // One column after another, the unsorted one given back each time.
    arrow::ArrayVector pieces;
    for (auto& batch : gathered_) pieces.push_back(batch->column(c));
    ARROW_ASSIGN_OR_RAISE(auto column, arrow::Concatenate(pieces, context_->payload_pool));
    pieces.clear();
    ARROW_ASSIGN_OR_RAISE(
        column, arrow::compute::Take(*column, *indices,
                                     arrow::compute::TakeOptions::NoBoundsCheck(), &exec));
    sorted.push_back(std::move(column));
  }
  gathered_.clear();
  const auto batch =
      arrow::RecordBatch::Make(payload->schema(), static_cast<int64_t>(wanted_.size()), sorted);
  for (size_t first = 0; first < wanted_.size();) {
    size_t last = first;
    while (last < wanted_.size() && wanted_[last].window == wanted_[first].window) ++last;
    ARROW_RETURN_NOT_OK(payload->Append(
        static_cast<int>(wanted_[first].window),
        *batch->Slice(static_cast<int64_t>(first), static_cast<int64_t>(last - first))));
    first = last;
  }
  wanted_.clear();
  gathered_rows_ = gathered_bytes_ = 0;
  return arrow::Status::OK();
}

}  // namespace floodwall

#include "merge/row_set.h"

#include <algorithm>
#include <numeric>

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "arrow/chunk_resolver.h"
#include "arrow/compute/api.h"
#include "merge/plain_values.h"
#include "merge/value_lengths.h"

namespace floodwall {
namespace {

std::span<const int64_t> ValuesOf(const arrow::Array& positions) {
  const auto& typed = static_cast<const arrow::Int64Array&>(positions);
  return {typed.raw_values(), static_cast<size_t>(typed.length())};
}

arrow::Result<std::shared_ptr<arrow::Array>> Pick(const arrow::Array& values,
                                                  const arrow::Array& positions,
                                                  arrow::MemoryPool* pool) {
  arrow::compute::ExecContext exec(pool);
  exec.set_use_threads(false);
  return arrow::compute::Take(values, positions, arrow::compute::TakeOptions::NoBoundsCheck(),
                              &exec);
}

}  // namespace

arrow::Result<std::shared_ptr<arrow::Array>> RowSet::Positions(std::span<const int64_t> ordinals,
                                                               arrow::MemoryPool* pool) const {
  arrow::Int64Builder builder(pool);
  ARROW_RETURN_NOT_OK(builder.AppendValues(ordinals.data(), static_cast<int64_t>(ordinals.size())));
  return builder.Finish();
}

arrow::Result<std::shared_ptr<arrow::Array>> RowSet::TakeAt(
    int column, const std::shared_ptr<arrow::Array>& positions, arrow::MemoryPool* pool) const {
  return Take(column, ValuesOf(*positions), pool);
}

arrow::Result<std::shared_ptr<arrow::Array>> LoadedRows::Take(int column,
                                                              std::span<const int64_t> ordinals,
                                                              arrow::MemoryPool* pool) const {
  ARROW_ASSIGN_OR_RAISE(const auto positions, Positions(ordinals, pool));
  return TakeAt(column, positions, pool);
}

arrow::Result<std::shared_ptr<arrow::Array>> LoadedRows::Positions(
    std::span<const int64_t> ordinals, arrow::MemoryPool* pool) const {
  if (!sparse_) return RowSet::Positions(ordinals, pool);
  arrow::Int64Builder builder(pool);
  ARROW_RETURN_NOT_OK(builder.Reserve(static_cast<int64_t>(ordinals.size())));
  for (const int64_t ordinal : ordinals) {
    builder.UnsafeAppend(places_.Find(ordinal));
  }
  return builder.Finish();
}

arrow::Result<std::shared_ptr<arrow::Array>> LoadedRows::TakeAt(
    int column, const std::shared_ptr<arrow::Array>& positions, arrow::MemoryPool* pool) const {
  const arrow::ChunkedArray& values = *table_->column(column);
  if (IsView(*values.type())) return GatherViews(values, ValuesOf(*positions), pool);
  return TakeFromChunks(values, static_cast<const arrow::Int64Array&>(*positions), pool);
}

arrow::Result<int64_t> LoadedRows::CountWithin(int column,
                                               const std::shared_ptr<arrow::Array>& positions,
                                               int64_t bytes) const {
  return floodwall::CountWithin(*table_->column(column), ValuesOf(*positions), bytes);
}

arrow::Result<std::shared_ptr<arrow::Array>> TakeFromChunks(const arrow::ChunkedArray& column,
                                                            const arrow::Int64Array& positions,
                                                            arrow::MemoryPool* pool) {
  const int64_t n = positions.length();
  if (n == 0) return arrow::MakeEmptyArray(column.type(), pool);
  if (column.num_chunks() == 1) return Pick(*column.chunk(0), positions, pool);
  const arrow::ChunkResolver resolver(column.chunks());
  struct Place {
    int64_t chunk;
    int64_t index;
    int64_t row;  ///< in the result
  };
  std::vector<Place> places;
  places.reserve(static_cast<size_t>(n));
  for (int64_t row = 0; row < n; ++row) {
    const auto at = resolver.Resolve(positions.Value(row));
    places.push_back({at.chunk_index, at.index_in_chunk, row});
  }
  const auto chunk_order = [](const Place& a, const Place& b) { return a.chunk < b.chunk; };
  const bool in_order = std::is_sorted(places.begin(), places.end(), chunk_order);
  if (!in_order) std::stable_sort(places.begin(), places.end(), chunk_order);
  arrow::ArrayVector pieces;
  for (size_t first = 0; first < places.size();) {
    size_t last = first + 1;
    bool neighbours = true;
    for (; last < places.size() && places[last].chunk == places[first].chunk; ++last) {
      neighbours &= places[last].index == places[last - 1].index + 1;
    }
    const arrow::Array& chunk = *column.chunk(static_cast<int>(places[first].chunk));
    const auto count = static_cast<int64_t>(last - first);
    if (neighbours && count < n) {
      pieces.push_back(chunk.Slice(places[first].index, count));
    } else {
      arrow::Int64Builder builder(pool);
      ARROW_RETURN_NOT_OK(builder.Reserve(count));
      for (size_t i = first; i < last; ++i) builder.UnsafeAppend(places[i].index);
      ARROW_ASSIGN_OR_RAISE(const auto indices, builder.Finish());
      ARROW_ASSIGN_OR_RAISE(auto piece, Pick(chunk, *indices, pool));
      pieces.push_back(std::move(piece));
    }
    // Each chunk has a dictionary of its own.
    if (count < n && column.type()->id() == arrow::Type::DICTIONARY) {
      ARROW_ASSIGN_OR_RAISE(pieces.back(), PlainValues(std::move(pieces.back()), pool));
    }
    first = last;
  }
  if (pieces.size() == 1) return pieces.front();
  ARROW_ASSIGN_OR_RAISE(auto joined, arrow::Concatenate(pieces, pool));
  pieces.clear();
  if (in_order) return joined;
  arrow::Int64Builder builder(pool);
  ARROW_RETURN_NOT_OK(builder.AppendValues(std::vector<int64_t>(static_cast<size_t>(n))));
  for (int64_t i = 0; i < n; ++i) builder[places[static_cast<size_t>(i)].row] = i;
  ARROW_ASSIGN_OR_RAISE(const auto order, builder.Finish());
  return Pick(*joined, *order, pool);
}

int64_t CountWithin(const arrow::ChunkedArray& column, std::span<const int64_t> positions,
                    int64_t bytes) {
  const auto n = static_cast<int64_t>(positions.size());
  const int64_t fixed = FixedLength(*column.type());
  if (fixed > 0) return std::clamp<int64_t>(bytes / fixed, std::min<int64_t>(n, 1), n);
  const arrow::ChunkResolver resolver(column.chunks());
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const auto at = resolver.Resolve(positions[static_cast<size_t>(i)]);
    sum += LengthAt(*column.chunk(static_cast<int>(at.chunk_index)), at.index_in_chunk);
    if (sum > bytes && i > 0) return i;
  }
  return n;
}

}  // namespace floodwall

#include "dataset/patched_indexes.h"

#include <algorithm>

#include "dataset/parquet_thrift.h"
#include "floodwall/bytes.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::ContainerHeader;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::StructWriter;
using thrift::Type;

std::string_view TextOf(const ByteBuffer& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(bytes.size())};
}

arrow::Status Append(std::string_view bytes, ByteBuffer* out) {
  return out->Append(bytes.data(), std::ssize(bytes));
}

arrow::Status AppendNumber(int64_t value, ByteBuffer* out) {
  std::string bytes;  // short enough to need no memory
  thrift::AppendZigZag(value, &bytes);
  return Append(bytes, out);
}

arrow::Status AppendBinary(std::string_view value, ByteBuffer* out) {
  std::string length;
  thrift::AppendVarint(value.size(), &length);
  ARROW_RETURN_NOT_OK(Append(length, out));
  return Append(value, out);
}

/// A list of the base whose elements are at hand, from its head on.
void AppendList(int16_t id, Type element, int64_t count, const ByteBuffer& elements,
                StructWriter* writer, std::string* out) {
  writer->Begin(id, Type::kList);
  thrift::AppendListHeader(element, static_cast<uint64_t>(count), out);
  out->append(TextOf(elements));
}

int64_t LengthOf(const thrift::Value& chunk, int16_t offset_id, int16_t length_id) {
  return chunk.GetInt(offset_id, -1) > 0 ? std::max<int64_t>(0, chunk.GetInt(length_id, 0)) : 0;
}

/// Both indexes of the base.
int64_t BaseBytes(const thrift::Value& chunk) {
  namespace id = field::column_chunk;
  return LengthOf(chunk, id::kOffsetIndexOffset, id::kOffsetIndexLength) +
         LengthOf(chunk, id::kColumnIndexOffset, id::kColumnIndexLength);
}

/// Heads of fields and lists, the buffers' first bytes.
constexpr int64_t kSmall = 4 * kKiB;
/// An offset, a size and a row number that were short and become long, and null counts and levels.
constexpr int64_t kPageGrowth = 12;

}  // namespace

int64_t PatchedIndexes::BytesAfter(const thrift::Value& chunk, const ChunkPages& pages,
                                   int64_t num_edits, int64_t longest) {
  const int64_t base = BaseBytes(chunk);
  if (base == 0) return 0;
  const auto bound = std::min<int64_t>(longest, ValueBounds::kMaxBytes) + 2;
  return base + kPageGrowth * pages.num_pages + 2 * bound * std::min(num_edits, pages.num_pages) +
         kSmall;
}

int64_t PatchedIndexes::Need(const thrift::Value& chunk, int64_t bytes_after) {
  // The base's while the lists grow, by halves; then lists and what is made of them.
  return BaseBytes(chunk) + 5 * bytes_after / 2 + (bytes_after > 0 ? 8 * kSmall : 0);
}

PatchedIndexes::PatchedIndexes(const BaseChunk* chunk, const ChunkPages* pages,
                               const ValueOrder* order, GuardedPool* pool)
    : chunk_(chunk),
      pages_(pages),
      order_(order),
      base_columns_(pool),
      base_offsets_(pool),
      new_null_pages_(pool),
      new_mins_(pool),
      new_maxs_(pool),
      new_null_counts_(pool),
      new_levels_(pool),
      new_locations_(pool),
      new_value_bytes_(pool) {}

arrow::Result<std::unique_ptr<PatchedIndexes>> PatchedIndexes::Make(const BaseChunk* chunk,
                                                                    const ChunkPages* pages,
                                                                    const ValueOrder* order,
                                                                    bool trusted,
                                                                    GuardedPool* pool) {
  auto out = std::unique_ptr<PatchedIndexes>(new PatchedIndexes(chunk, pages, order, pool));
  const auto read = [&](int16_t offset_id, int16_t length_id, bool* found,
                        ByteBuffer* bytes) -> arrow::Status {
    const int64_t offset = chunk->tree.GetInt(offset_id, -1);
    *found = offset > 0;
    if (!*found) return arrow::Status::OK();
    return chunk->file->ReadRange(offset, LengthOf(chunk->tree, offset_id, length_id), bytes);
  };
  namespace id = field::column_chunk;
  ARROW_RETURN_NOT_OK(read(id::kOffsetIndexOffset, id::kOffsetIndexLength, &out->has_offset_index_,
                           &out->base_offsets_));
  ARROW_RETURN_NOT_OK(read(id::kColumnIndexOffset, id::kColumnIndexLength, &out->has_column_index_,
                           &out->base_columns_));
  if (out->has_offset_index_) ARROW_RETURN_NOT_OK(out->LoadOffsetIndex());
  if (out->has_column_index_) ARROW_RETURN_NOT_OK(out->LoadColumnIndex(trusted));
  return out;
}

namespace {

/// Walks over a struct and notes where the lists begin that `list_of` wants, with their counts.
template <typename List, typename ListOf, typename NumberOf>
arrow::Status FindLists(std::string_view bytes, const ListOf& list_of, const NumberOf& number_of) {
  Cursor cursor(bytes);
  StructScope scope;
  FieldHeader f;
  while (cursor.Next(&scope, &f)) {
    List* list = f.type == Type::kList ? list_of(f.id) : nullptr;
    int64_t* number = f.type == Type::kI32 ? number_of(f.id) : nullptr;
    if (number != nullptr) {
      *number = cursor.Integer(f.type);
      continue;
    }
    if (list == nullptr) {
      cursor.Skip(f.type, 1);
      continue;
    }
    const ContainerHeader header = cursor.List();
    list->cursor = cursor;
    list->element = header.element;
    list->count = static_cast<int64_t>(header.count);
    for (uint64_t i = 0; i < header.count && cursor.ok(); ++i) {
      cursor.Skip(header.element, 2, /*in_container=*/true);
    }
  }
  return cursor.status();
}

}  // namespace

arrow::Status PatchedIndexes::LoadColumnIndex(bool trusted) {
  namespace id = field::column_index;
  ARROW_RETURN_NOT_OK(FindLists<BaseList>(
      TextOf(base_columns_),
      [&](int16_t field_id) -> BaseList* {
        switch (field_id) {
          case id::kNullPages: return &null_pages_;
          case id::kMinValues: return &mins_;
          case id::kMaxValues: return &maxs_;
          case id::kNullCounts: return &null_counts_;
          case id::kDefinitionHistograms: return &levels_;
          default: return nullptr;
        }
      },
      [&](int16_t field_id) {
        return field_id == id::kBoundaryOrder ? &boundary_order_ : nullptr;
      }));
  const int64_t pages = pages_->num_pages;
  const auto holds = [](const BaseList& list, Type element, int64_t count) {
    return list.element == element && list.count == count;
  };
  const bool flags =
      holds(null_pages_, Type::kTrue, pages) || holds(null_pages_, Type::kFalse, pages);
  // An index of other pages than these cannot be carried over.
  has_column_index_ =
      trusted && flags && holds(mins_, Type::kBinary, pages) && holds(maxs_, Type::kBinary, pages);
  has_null_counts_ = holds(null_counts_, Type::kI64, pages);
  has_levels_ = chunk_->descr->max_definition_level() == 1 && holds(levels_, Type::kI64, 2 * pages);
  if (!has_column_index_) base_columns_.Reset();
  return arrow::Status::OK();
}

arrow::Status PatchedIndexes::LoadOffsetIndex() {
  ARROW_RETURN_NOT_OK(FindLists<BaseList>(
      TextOf(base_offsets_),
      [&](int16_t field_id) {
        return field_id == field::offset_index::kUnencodedBytes ? &value_bytes_ : nullptr;
      },
      [](int16_t) -> int64_t* { return nullptr; }));
  // Arrow counts the suffixes only where prefixes are shared: such a number is no base to add to.
  has_value_bytes_ = value_bytes_.element == Type::kI64 &&
                     value_bytes_.count == pages_->num_pages &&
                     !pages_->Uses(field::kEncodingDeltaByteArray);
  if (!has_value_bytes_) base_offsets_.Reset();
  return arrow::Status::OK();
}

arrow::Status PatchedIndexes::Seek(size_t base_page) {
  for (; next_page_ <= base_page; ++next_page_) {
    if (has_column_index_) {
      entry_.null_page = static_cast<uint8_t>(null_pages_.cursor.Integer(Type::kByte));
      entry_.min = mins_.cursor.View();
      entry_.max = maxs_.cursor.View();
      if (has_null_counts_) entry_.nulls = null_counts_.cursor.Integer(Type::kI64);
      if (has_levels_) {
        for (int64_t& count : entry_.levels) count = levels_.cursor.Integer(Type::kI64);
      }
    }
    if (has_value_bytes_) entry_.value_bytes = value_bytes_.cursor.Integer(Type::kI64);
  }
  for (const BaseList* list :
       {&null_pages_, &mins_, &maxs_, &null_counts_, &levels_, &value_bytes_}) {
    ARROW_RETURN_NOT_OK(list->cursor.status());
  }
  return arrow::Status::OK();
}

std::optional<ValueBounds> PatchedIndexes::Bounds() const {
  if (!has_column_index_) return std::nullopt;
  if (entry_.null_page == kTrueByte) return ValueBounds(order_, true);
  return ValueBounds::FromRange(order_, entry_.min, entry_.max);
}

arrow::Status PatchedIndexes::AddCopied(const PagePlace& place) {
  ARROW_RETURN_NOT_OK(Seek(place.base_page));
  ARROW_RETURN_NOT_OK(AddLocation(place));
  if (has_column_index_ && bounded_) ARROW_RETURN_NOT_OK(AddEntry(entry_));
  return has_value_bytes_ ? AppendNumber(entry_.value_bytes, &new_value_bytes_)
                          : arrow::Status::OK();
}

arrow::Status PatchedIndexes::AddChanged(const PagePlace& place, const PageChange& change) {
  ARROW_RETURN_NOT_OK(Seek(place.base_page));
  ARROW_RETURN_NOT_OK(AddLocation(place));
  if (has_value_bytes_) {
    const int64_t bytes = entry_.value_bytes + change.value_bytes_delta;
    has_value_bytes_ = bytes >= 0 && change.whole;
    ARROW_RETURN_NOT_OK(AppendNumber(bytes, &new_value_bytes_));
  }
  if (!has_column_index_ || !bounded_) return arrow::Status::OK();
  const bool null_page = change.nulls == change.rows;
  // One page without bounds leaves no index: readers would skip it or trip over it.
  bounded_ = null_page || change.bounds.present();
  if (!bounded_) return arrow::Status::OK();
  const std::string min = null_page ? std::string() : change.bounds.min();
  const std::string max = null_page ? std::string() : change.bounds.max();
  Entry entry;
  entry.null_page = null_page ? kTrueByte : kFalseByte;
  entry.min = min;
  entry.max = max;
  entry.nulls = entry.levels[0] = change.nulls;
  entry.levels[1] = change.rows - change.nulls;
  return AddEntry(entry);
}

arrow::Status PatchedIndexes::AddLocation(const PagePlace& place) {
  ++num_pages_;
  if (!has_offset_index_) return arrow::Status::OK();
  std::string bytes;
  StructWriter writer(&bytes);
  writer.Integer(field::page_location::kOffset, Type::kI64, place.offset);
  writer.Integer(field::page_location::kCompressedPageSize, Type::kI32, place.bytes);
  writer.Integer(field::page_location::kFirstRow, Type::kI64, num_rows_);
  writer.Stop();
  num_rows_ += place.rows;
  return Append(bytes, &new_locations_);
}

arrow::Status PatchedIndexes::AddEntry(const Entry& entry) {
  if (entry.null_page != kTrueByte) CheckOrder(entry.min, entry.max);
  ARROW_RETURN_NOT_OK(new_null_pages_.AppendByte(entry.null_page));
  ARROW_RETURN_NOT_OK(AppendBinary(entry.min, &new_mins_));
  ARROW_RETURN_NOT_OK(AppendBinary(entry.max, &new_maxs_));
  if (has_null_counts_) ARROW_RETURN_NOT_OK(AppendNumber(entry.nulls, &new_null_counts_));
  if (has_levels_) {
    for (const int64_t count : entry.levels) {
      ARROW_RETURN_NOT_OK(AppendNumber(count, &new_levels_));
    }
  }
  return arrow::Status::OK();
}

void PatchedIndexes::CheckOrder(std::string_view min, std::string_view max) {
  if (!order_holds_ || boundary_order_ == field::column_index::kUnordered) return;
  order_holds_ = order_->Bounds(min) && order_->Bounds(max);
  if (order_holds_ && any_bounds_) {
    const bool ascending = boundary_order_ == field::column_index::kAscending;
    const auto descends = [&](std::string_view a, std::string_view b) {
      return ascending ? order_->Less(b, a) : order_->Less(a, b);
    };
    order_holds_ = !descends(last_min_, min) && !descends(last_max_, max);
  }
  last_min_ = min;
  last_max_ = max;
  any_bounds_ = true;
}

arrow::Result<std::string> PatchedIndexes::TakeColumnIndex() {
  base_columns_.Reset();
  std::string out;
  if (has_column_index_ && bounded_ && num_pages_ > 0) {
    namespace id = field::column_index;
    out.reserve(static_cast<size_t>(new_null_pages_.size() + new_mins_.size() + new_maxs_.size() +
                                    new_null_counts_.size() + new_levels_.size() + kSmall));
    StructWriter writer(&out);
    AppendList(id::kNullPages, null_pages_.element, num_pages_, new_null_pages_, &writer, &out);
    AppendList(id::kMinValues, Type::kBinary, num_pages_, new_mins_, &writer, &out);
    AppendList(id::kMaxValues, Type::kBinary, num_pages_, new_maxs_, &writer, &out);
    writer.Integer(id::kBoundaryOrder, Type::kI32,
                   order_holds_ ? boundary_order_ : field::column_index::kUnordered);
    if (has_null_counts_) {
      AppendList(id::kNullCounts, Type::kI64, num_pages_, new_null_counts_, &writer, &out);
    }
    if (has_levels_) {
      AppendList(id::kDefinitionHistograms, Type::kI64, 2 * num_pages_, new_levels_, &writer, &out);
    }
    writer.Stop();
  }
  for (ByteBuffer* list :
       {&new_null_pages_, &new_mins_, &new_maxs_, &new_null_counts_, &new_levels_}) {
    list->Reset();
  }
  return out;
}

arrow::Result<std::string> PatchedIndexes::TakeOffsetIndex() {
  base_offsets_.Reset();
  std::string out;
  if (has_offset_index_ && num_pages_ > 0) {
    namespace id = field::offset_index;
    out.reserve(static_cast<size_t>(new_locations_.size() + new_value_bytes_.size() + kSmall));
    StructWriter writer(&out);
    AppendList(id::kPageLocations, Type::kStruct, num_pages_, new_locations_, &writer, &out);
    if (has_value_bytes_) {
      AppendList(id::kUnencodedBytes, Type::kI64, num_pages_, new_value_bytes_, &writer, &out);
    }
    writer.Stop();
  }
  new_locations_.Reset();
  new_value_bytes_.Reset();
  return out;
}

}  // namespace floodwall

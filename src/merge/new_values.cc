#include "merge/new_values.h"

#include <algorithm>
#include <cstring>

#include "dataset/compact_thrift.h"
#include "dataset/hybrid_codec.h"
#include "dataset/parquet_thrift.h"
#include "merge/physical_values.h"
#include "merge/stored_decimals.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

constexpr char kBooleanBytes[2] = {0, 1};
constexpr std::string_view kEmpty = "";  // not null

arrow::Status TooShort() { return arrow::Status::UnknownError("new values came back short"); }

}  // namespace

int64_t FixedWidth(const parquet::ColumnDescriptor& column) {
  switch (column.physical_type()) {
    case parquet::Type::BOOLEAN: return 1;
    case parquet::Type::INT32:
    case parquet::Type::FLOAT: return 4;
    case parquet::Type::INT64:
    case parquet::Type::DOUBLE: return 8;
    case parquet::Type::INT96: return 12;
    case parquet::Type::FIXED_LEN_BYTE_ARRAY: return column.type_length();
    default: return 0;
  }
}

arrow::Status NewValues::Load(size_t first) {
  values_.clear();
  array_.reset();
  pages_.reset();
  first_ = first;
  size_t end = std::min(edits_->size(), first + static_cast<size_t>(ColumnRecoder::kSliceRows));
  std::vector<int64_t> ordinals;
  std::vector<size_t> places;
  for (size_t i = first; i < end; ++i) {
    if (!Reads(i)) continue;
    ordinals.push_back((*edits_)[i].ordinal);
    places.push_back(i - first);
  }
  if (!ordinals.empty()) {
    ARROW_ASSIGN_OR_RAISE(const int64_t count,
                          take_->CountWithin(ordinals, ColumnRecoder::kSliceBytes));
    if (count < static_cast<int64_t>(ordinals.size())) {
      end = first + places[static_cast<size_t>(count)];
      ordinals.resize(static_cast<size_t>(count));
      places.resize(static_cast<size_t>(count));
    }
    ARROW_ASSIGN_OR_RAISE(array_, (*take_)(ordinals));
    ARROW_ASSIGN_OR_RAISE(array_, FitToColumn(std::move(array_), count, column_, pool_));
  }
  values_.resize(end - first);
  if (ordinals.empty()) return arrow::Status::OK();
  if (arrow::is_binary(array_->type_id())) return ReadArray(places);
  ARROW_ASSIGN_OR_RAISE(const bool physical, HasPhysicalLayout());
  if (physical) {
    ReadFixed(places);
    return arrow::Status::OK();
  }
  ARROW_ASSIGN_OR_RAISE(
      PlainPage page,
      EncodePlain(std::move(array_), static_cast<int64_t>(ordinals.size()), column_, pool_));
  pages_ = std::move(page.pages);
  return ReadPages(places);
}

/// Whether the values lie in memory as Parquet writes them; decimals are laid out so first.
arrow::Result<bool> NewValues::HasPhysicalLayout() {
  switch (column_->physical_type()) {
    case parquet::Type::INT32:
      return array_->type_id() == arrow::Type::INT32 || array_->type_id() == arrow::Type::DATE32;
    case parquet::Type::INT64: return array_->type_id() == arrow::Type::INT64;
    case parquet::Type::FLOAT: return array_->type_id() == arrow::Type::FLOAT;
    case parquet::Type::DOUBLE: return array_->type_id() == arrow::Type::DOUBLE;
    case parquet::Type::FIXED_LEN_BYTE_ARRAY: break;
    default: return false;
  }
  ARROW_ASSIGN_OR_RAISE(const auto stored, StoredType(*column_->schema_node(), array_->type()));
  if (stored->id() != arrow::Type::FIXED_SIZE_BINARY ||
      static_cast<const arrow::FixedSizeBinaryType&>(*stored).byte_width() !=
          column_->type_length()) {
    return false;
  }
  ARROW_ASSIGN_OR_RAISE(array_, StoredValues(std::move(array_), stored, column_->name(), pool_));
  return true;
}

void NewValues::ReadFixed(const std::vector<size_t>& places) {
  const auto width = static_cast<size_t>(FixedWidth(*column_));
  const arrow::ArrayData& data = *array_->data();
  const char* at = data.GetValues<char>(1, 0) + static_cast<size_t>(data.offset) * width;
  const bool nulls = array_->null_count() > 0;
  for (size_t i = 0; i < places.size(); ++i, at += width) {
    if (nulls && array_->IsNull(static_cast<int64_t>(i))) continue;
    values_[places[i]] = {at, width};
  }
}

arrow::Status NewValues::ReadArray(const std::vector<size_t>& places) {
  const auto& array = static_cast<const arrow::BinaryArray&>(*array_);
  if (array.length() != std::ssize(places)) return TooShort();
  for (size_t i = 0; i < places.size(); ++i) {
    if (array.IsNull(static_cast<int64_t>(i))) continue;
    const std::string_view value = array.GetView(static_cast<int64_t>(i));
    values_[places[i]] = value.empty() ? kEmpty : value;
  }
  return arrow::Status::OK();
}

arrow::Status NewValues::ReadPages(const std::vector<size_t>& places) {
  const char* at = reinterpret_cast<const char*>(pages_->data());
  const char* end = at + pages_->size();
  const int64_t width = FixedWidth(*column_);
  const bool boolean = column_->physical_type() == parquet::Type::BOOLEAN;
  std::vector<uint8_t> levels;
  // Values of more than a gigabyte come in several pages.
  for (size_t done = 0; done < places.size();) {
    size_t header_bytes = 0;
    ARROW_ASSIGN_OR_RAISE(const thrift::Value header,
                          thrift::ParseStruct({at, static_cast<size_t>(end - at)}, &header_bytes));
    const thrift::Value* data = header.Find(field::page_header::kDataPage);
    const int64_t size = header.GetInt(field::page_header::kUncompressedSize, -1);
    at += header_bytes;
    if (data == nullptr || size < 0 || size > end - at) return TooShort();
    const char* body = at;
    at += size;
    const int64_t n = data->GetInt(field::kPageNumValues, 0);
    if (n <= 0 || n > static_cast<int64_t>(places.size() - done)) return TooShort();
    levels.assign(static_cast<size_t>(n), 1);
    if (column_->max_definition_level() > 0) {
      uint32_t length = 0;
      if (at - body < 4) return TooShort();
      std::memcpy(&length, body, sizeof(length));
      body += sizeof(length);
      if (length > at - body) return TooShort();
      ARROW_RETURN_NOT_OK(
          DecodeHybridBytes({reinterpret_cast<const uint8_t*>(body), length}, 1, n, levels.data()));
      body += length;
    }
    int64_t bit = 0;
    for (int64_t i = 0; i < n; ++i, ++done) {
      if (levels[static_cast<size_t>(i)] == 0) continue;
      std::string_view& out = values_[places[done]];
      if (boolean) {
        if (bit / 8 >= at - body) return TooShort();
        out = {&kBooleanBytes[(body[bit / 8] >> (bit % 8)) & 1], 1};
        ++bit;
        continue;
      }
      uint32_t length = static_cast<uint32_t>(width);
      if (width == 0) {
        if (at - body < 4) return TooShort();
        std::memcpy(&length, body, sizeof(length));
        body += sizeof(length);
      }
      if (length > at - body) return TooShort();
      out = length == 0 ? kEmpty : std::string_view(body, length);
      body += length;
    }
  }
  return arrow::Status::OK();
}

}  // namespace floodwall

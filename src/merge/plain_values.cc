#include "merge/plain_values.h"

#include <numeric>
#include <vector>

#include "arrow/builder.h"
#include "arrow/chunk_resolver.h"
#include "arrow/compute/api.h"
#include "arrow/util/checked_cast.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;

std::shared_ptr<arrow::Field> PlainField(const std::shared_ptr<arrow::Field>& field) {
  return field->WithType(PlainType(field->type()));
}

template <typename Binary>
int64_t BinaryBytes(const arrow::Array& base) {
  const auto& values = checked_cast<const Binary&>(base);
  int64_t bytes = 0;
  for (int64_t i = 0; i < values.length(); ++i) {
    if (values.IsValid(i)) bytes += static_cast<int64_t>(values.GetView(i).size());
  }
  return bytes + 4 * values.length();
}

template <typename List>
int64_t ListBytes(const arrow::Array& base) {
  const auto& lists = checked_cast<const List&>(base);
  if (lists.length() == 0) return 0;
  const int64_t first = lists.value_offset(0);
  const int64_t last = lists.value_offset(lists.length());
  return 4 * lists.length() + LogicalBytes(*lists.values()->Slice(first, last - first));
}

}  // namespace

bool IsView(const arrow::DataType& type) {
  return type.id() == arrow::Type::STRING_VIEW || type.id() == arrow::Type::BINARY_VIEW;
}

std::shared_ptr<arrow::DataType> WithoutView(const std::shared_ptr<arrow::DataType>& type) {
  if (type->id() == arrow::Type::STRING_VIEW) return arrow::utf8();
  if (type->id() == arrow::Type::BINARY_VIEW) return arrow::binary();
  return type;
}

std::shared_ptr<arrow::DataType> PlainType(const std::shared_ptr<arrow::DataType>& type) {
  switch (type->id()) {
    case arrow::Type::DICTIONARY:
      return PlainType(checked_cast<const arrow::DictionaryType&>(*type).value_type());
    case arrow::Type::LIST: return arrow::list(PlainField(type->field(0)));
    case arrow::Type::LARGE_LIST: return arrow::large_list(PlainField(type->field(0)));
    case arrow::Type::STRUCT: {
      arrow::FieldVector fields;
      for (const auto& field : type->fields()) fields.push_back(PlainField(field));
      return arrow::struct_(fields);
    }
    default: return WithoutView(type);
  }
}

arrow::Result<std::shared_ptr<arrow::Array>> PlainValues(std::shared_ptr<arrow::Array> values,
                                                         arrow::MemoryPool* pool) {
  if (IsView(*values->type())) {
    std::vector<int64_t> all(static_cast<size_t>(values->length()));
    std::iota(all.begin(), all.end(), 0);
    return GatherViews(arrow::ChunkedArray(std::move(values)), all, pool);
  }
  const auto plain = PlainType(values->type());
  if (plain->Equals(*values->type())) return values;
  arrow::compute::ExecContext exec(pool);
  exec.set_use_threads(false);
  if (values->type_id() == arrow::Type::DICTIONARY) {
    const auto& dictionary = checked_cast<const arrow::DictionaryArray&>(*values);
    ARROW_ASSIGN_OR_RAISE(auto entries, PlainValues(dictionary.dictionary(), pool));
    return arrow::compute::Take(*entries, *dictionary.indices(),
                                arrow::compute::TakeOptions::NoBoundsCheck(), &exec);
  }
  return arrow::compute::Cast(*values, plain, arrow::compute::CastOptions::Safe(), &exec);
}

arrow::Result<std::shared_ptr<arrow::Array>> GatherViews(const arrow::ChunkedArray& column,
                                                         std::span<const int64_t> positions,
                                                         arrow::MemoryPool* pool) {
  arrow::BinaryBuilder builder(pool);
  const arrow::ChunkResolver resolver(column.chunks());
  for (const int64_t position : positions) {
    const auto at = resolver.Resolve(position);
    const auto& chunk =
        static_cast<const arrow::BinaryViewArray&>(*column.chunk(static_cast<int>(at.chunk_index)));
    if (chunk.IsNull(at.index_in_chunk)) {
      ARROW_RETURN_NOT_OK(builder.AppendNull());
    } else {
      ARROW_RETURN_NOT_OK(builder.Append(chunk.GetView(at.index_in_chunk)));
    }
  }
  ARROW_ASSIGN_OR_RAISE(auto bytes, builder.Finish());
  return bytes->View(WithoutView(column.type()));
}

int64_t LogicalBytes(const arrow::Array& values) {
  const int64_t length = values.length();
  switch (values.type_id()) {
    case arrow::Type::NA: return 0;
    case arrow::Type::STRING:
    case arrow::Type::BINARY: return BinaryBytes<arrow::BinaryArray>(values);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: return BinaryBytes<arrow::LargeBinaryArray>(values);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: return BinaryBytes<arrow::BinaryViewArray>(values);
    case arrow::Type::LIST:
    case arrow::Type::MAP: return ListBytes<arrow::ListArray>(values);
    case arrow::Type::LARGE_LIST: return ListBytes<arrow::LargeListArray>(values);
    case arrow::Type::FIXED_SIZE_LIST: {
      const auto& lists = checked_cast<const arrow::FixedSizeListArray&>(values);
      const int64_t width = lists.list_type()->list_size();
      return LogicalBytes(*lists.values()->Slice((lists.offset()) * width, lists.length() * width));
    }
    case arrow::Type::STRUCT: {
      const auto& row = checked_cast<const arrow::StructArray&>(values);
      int64_t bytes = 0;
      for (int i = 0; i < row.num_fields(); ++i) bytes += LogicalBytes(*row.field(i));
      return bytes;
    }
    case arrow::Type::EXTENSION:
      return LogicalBytes(*checked_cast<const arrow::ExtensionArray&>(values).storage());
    default:
      return arrow::is_fixed_width(values.type_id())
                 ? (length *
                        checked_cast<const arrow::FixedWidthType&>(*values.type()).bit_width() +
                    7) /
                       8
                 : 16 * length;
  }
}

}  // namespace floodwall

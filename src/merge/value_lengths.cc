#include "merge/value_lengths.h"

#include <algorithm>

#include "arrow/array/array_run_end.h"
#include "arrow/extension_type.h"
#include "arrow/util/checked_cast.h"
#include "merge/plain_values.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;

template <typename Binary>
int64_t BytesAt(const arrow::Array& values, int64_t row) {
  return static_cast<int64_t>(checked_cast<const Binary&>(values).GetView(row).size());
}

template <typename Binary>
int64_t Longest(const arrow::Array& base) {
  const auto& values = checked_cast<const Binary&>(base);
  int64_t longest = 0;
  for (int64_t i = 0; i < values.length(); ++i) {
    // What lies under a null counts too: it is copied with its neighbours.
    longest = std::max(longest, static_cast<int64_t>(values.GetView(i).size()));
  }
  return longest;
}

}  // namespace

int64_t FixedLength(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::NA: return 1;
    case arrow::Type::DICTIONARY:
      return FixedLength(*checked_cast<const arrow::DictionaryType&>(type).value_type());
    case arrow::Type::EXTENSION:
      return FixedLength(*checked_cast<const arrow::ExtensionType&>(type).storage_type());
    default:
      return arrow::is_fixed_width(type.id())
                 ? (checked_cast<const arrow::FixedWidthType&>(type).bit_width() + 7) / 8
                 : 0;
  }
}

int64_t LengthAt(const arrow::Array& values, int64_t row) {
  if (values.IsNull(row)) return 0;
  switch (values.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY: return BytesAt<arrow::BinaryArray>(values, row);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: return BytesAt<arrow::LargeBinaryArray>(values, row);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: return BytesAt<arrow::BinaryViewArray>(values, row);
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = checked_cast<const arrow::DictionaryArray&>(values);
      return LengthAt(*dictionary.dictionary(), dictionary.GetValueIndex(row));
    }
    case arrow::Type::EXTENSION:
      return LengthAt(*checked_cast<const arrow::ExtensionArray&>(values).storage(), row);
    case arrow::Type::RUN_END_ENCODED: {
      const auto one = values.Slice(row, 1);
      const auto& run = checked_cast<const arrow::RunEndEncodedArray&>(*one);
      return LengthAt(*run.values(), run.FindPhysicalOffset());
    }
    default: {
      const int64_t fixed = FixedLength(*values.type());
      return fixed > 0 ? fixed : LogicalBytes(*values.Slice(row, 1));
    }
  }
}

int64_t LongestValue(const arrow::Array& values) {
  if (values.length() == 0) return 0;
  switch (values.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY: return Longest<arrow::BinaryArray>(values);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: return Longest<arrow::LargeBinaryArray>(values);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: return Longest<arrow::BinaryViewArray>(values);
    case arrow::Type::DICTIONARY:
      return LongestValue(*checked_cast<const arrow::DictionaryArray&>(values).dictionary());
    case arrow::Type::EXTENSION:
      return LongestValue(*checked_cast<const arrow::ExtensionArray&>(values).storage());
    case arrow::Type::RUN_END_ENCODED:
      return LongestValue(*checked_cast<const arrow::RunEndEncodedArray&>(values).values());
    default: {
      const int64_t fixed = FixedLength(*values.type());
      if (fixed > 0) return fixed;
      int64_t longest = 0;
      for (int64_t i = 0; i < values.length(); ++i) {
        longest = std::max(longest, LogicalBytes(*values.Slice(i, 1)));
      }
      return longest;
    }
  }
}

int64_t LongestValue(const arrow::ChunkedArray& values) {
  int64_t longest = 0;
  for (const auto& chunk : values.chunks()) longest = std::max(longest, LongestValue(*chunk));
  return longest;
}

}  // namespace floodwall

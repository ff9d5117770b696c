#include "merge/stored_decimals.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "arrow/builder.h"
#include "arrow/extension_type.h"
#include "arrow/type.h"
#include "arrow/util/checked_cast.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;
using parquet::schema::GroupNode;
using parquet::schema::Node;
using parquet::schema::PrimitiveNode;
using TypePtr = std::shared_ptr<arrow::DataType>;

void CollectLeaves(const Node& node, std::vector<const PrimitiveNode*>* leaves) {
  if (node.is_primitive()) {
    leaves->push_back(&checked_cast<const PrimitiveNode&>(node));
    return;
  }
  const auto& group = checked_cast<const GroupNode&>(node);
  for (int i = 0; i < group.field_count(); ++i) CollectLeaves(*group.field(i), leaves);
}

bool IsDecimal(const PrimitiveNode& leaf) {
  return leaf.logical_type() != nullptr && leaf.logical_type()->is_decimal();
}

/// The same type around other children.
arrow::Result<TypePtr> WithFields(const arrow::DataType& type, const arrow::FieldVector& fields) {
  switch (type.id()) {
    case arrow::Type::STRUCT: return arrow::struct_(fields);
    case arrow::Type::LIST: return arrow::list(fields[0]);
    case arrow::Type::LARGE_LIST: return arrow::large_list(fields[0]);
    case arrow::Type::FIXED_SIZE_LIST:
      return arrow::fixed_size_list(
          fields[0], checked_cast<const arrow::FixedSizeListType&>(type).list_size());
    case arrow::Type::MAP: {
      ARROW_ASSIGN_OR_RAISE(
          auto map,
          arrow::MapType::Make(fields[0], checked_cast<const arrow::MapType&>(type).keys_sorted()));
      return TypePtr(std::move(map));
    }
    default: return arrow::Status::NotImplemented("no decimals are stored in ", type.ToString());
  }
}

/// Arrow's leaves come in the order of the file's.
class StoredTypes {
 public:
  explicit StoredTypes(const Node& node) { CollectLeaves(node, &leaves_); }

  arrow::Result<TypePtr> Of(const TypePtr& type) {
    if (type->id() == arrow::Type::EXTENSION) {
      const auto& storage = checked_cast<const arrow::ExtensionType&>(*type).storage_type();
      ARROW_ASSIGN_OR_RAISE(auto stored, Of(storage));
      return stored == storage ? type : stored;
    }
    if (!arrow::is_nested(type->id())) return OfLeaf(type);
    bool same = true;
    arrow::FieldVector fields;
    for (const auto& field : type->fields()) {
      ARROW_ASSIGN_OR_RAISE(auto stored, Of(field->type()));
      same &= stored == field->type();
      fields.push_back(field->WithType(stored));
    }
    return same ? type : WithFields(*type, fields);
  }

  bool done() const { return next_ == leaves_.size(); }

 private:
  arrow::Result<TypePtr> OfLeaf(const TypePtr& type) {
    if (next_ == leaves_.size()) return arrow::Status::Invalid("a column has too few leaves");
    const PrimitiveNode& leaf = *leaves_[next_++];
    if (!arrow::is_decimal(type->id()) || !IsDecimal(leaf)) return type;
    switch (leaf.physical_type()) {
      case parquet::Type::FIXED_LEN_BYTE_ARRAY: return arrow::fixed_size_binary(leaf.type_length());
      case parquet::Type::BYTE_ARRAY: return arrow::binary();
      default: return type;
    }
  }

  std::vector<const PrimitiveNode*> leaves_;
  size_t next_ = 0;
};

/// Turns arrays of decimals into two's complement, the highest byte first.
class Layer {
 public:
  Layer(const std::string& column, arrow::MemoryPool* pool) : column_(column), pool_(pool) {}

  arrow::Result<std::shared_ptr<arrow::Array>> Lay(std::shared_ptr<arrow::Array> values,
                                                   const TypePtr& stored) {
    if (values->type()->Equals(*stored)) return values;
    if (values->type_id() == arrow::Type::EXTENSION) {
      return Lay(checked_cast<const arrow::ExtensionArray&>(*values).storage(), stored);
    }
    if (arrow::is_decimal(values->type_id())) {
      const auto& decimals = checked_cast<const arrow::FixedSizeBinaryArray&>(*values);
      return stored->id() == arrow::Type::FIXED_SIZE_BINARY ? LayFixed(decimals, stored)
                                                            : LayShortest(decimals);
    }
    if (values->type_id() != stored->id() || !arrow::is_nested(stored->id())) {
      return arrow::Status::TypeError("column '", column_, "' holds ", values->type()->ToString(),
                                      ", not ", stored->ToString());
    }
    auto data = values->data()->Copy();
    data->type = stored;
    for (size_t i = 0; i < data->child_data.size(); ++i) {
      ARROW_ASSIGN_OR_RAISE(auto child, Lay(arrow::MakeArray(data->child_data[i]),
                                            stored->field(static_cast<int>(i))->type()));
      data->child_data[i] = child->data();
    }
    return arrow::MakeArray(data);
  }

 private:
  static constexpr size_t kWidest = 32;

  /// A value as bytes of its Arrow width, and how many of the first of them only repeat the sign.
  struct Bytes {
    std::array<uint8_t, kWidest> bytes;
    size_t width = 0;
    size_t spare = 0;
    uint8_t sign = 0;
  };

  static Bytes BytesOf(const arrow::FixedSizeBinaryArray& values, int64_t row) {
    Bytes out;
    out.width = static_cast<size_t>(values.byte_width());
    const uint8_t* value = values.GetValue(row);
    std::reverse_copy(value, value + out.width, out.bytes.begin());
    out.sign = (out.bytes[0] & 0x80) != 0 ? 0xff : 0;
    while (out.spare + 1 < out.width && out.bytes[out.spare] == out.sign &&
           ((out.bytes[out.spare + 1] ^ out.sign) & 0x80) == 0) {
      ++out.spare;
    }
    return out;
  }

  arrow::Result<std::shared_ptr<arrow::Array>> LayFixed(const arrow::FixedSizeBinaryArray& values,
                                                        const TypePtr& stored) {
    const auto width =
        static_cast<size_t>(checked_cast<const arrow::FixedSizeBinaryType&>(*stored).byte_width());
    arrow::FixedSizeBinaryBuilder builder(stored, pool_);
    ARROW_RETURN_NOT_OK(builder.Reserve(values.length()));
    std::vector<uint8_t> out(width);
    for (int64_t row = 0; row < values.length(); ++row) {
      if (values.IsNull(row)) {
        builder.UnsafeAppendNull();
        continue;
      }
      const Bytes value = BytesOf(values, row);
      const size_t needed = value.width - value.spare;
      if (needed > width) {
        return MakeError(ErrorKind::kSchemaMismatch,
                         "source values do not fit column '" + column_ + "': a decimal takes " +
                             std::to_string(needed) + " bytes, the column has " +
                             std::to_string(width));
      }
      std::memset(out.data(), value.sign, width - needed);
      std::memcpy(out.data() + width - needed, value.bytes.data() + value.spare, needed);
      builder.UnsafeAppend(out.data());
    }
    return builder.Finish();
  }

  arrow::Result<std::shared_ptr<arrow::Array>> LayShortest(
      const arrow::FixedSizeBinaryArray& values) {
    arrow::BinaryBuilder builder(pool_);
    ARROW_RETURN_NOT_OK(builder.Reserve(values.length()));
    for (int64_t row = 0; row < values.length(); ++row) {
      if (values.IsNull(row)) {
        builder.UnsafeAppendNull();
        continue;
      }
      const Bytes value = BytesOf(values, row);
      ARROW_RETURN_NOT_OK(builder.Append(value.bytes.data() + value.spare,
                                         static_cast<int32_t>(value.width - value.spare)));
    }
    return builder.Finish();
  }

  const std::string& column_;
  arrow::MemoryPool* pool_;
};

}  // namespace

arrow::Result<TypePtr> StoredType(const Node& node, const TypePtr& type) {
  StoredTypes types(node);
  ARROW_ASSIGN_OR_RAISE(auto stored, types.Of(type));
  if (!types.done()) {
    return arrow::Status::Invalid("column '", node.name(), "' has more leaves than ",
                                  type->ToString());
  }
  return stored;
}

arrow::Result<std::shared_ptr<arrow::Array>> StoredValues(std::shared_ptr<arrow::Array> values,
                                                          const TypePtr& stored,
                                                          const std::string& column,
                                                          arrow::MemoryPool* pool) {
  return Layer(column, pool).Lay(std::move(values), stored);
}

}  // namespace floodwall

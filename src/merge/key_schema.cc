#include "merge/key_schema.h"

#include <algorithm>

#include "arrow/extension_type.h"
#include "arrow/type_traits.h"
#include "arrow/util/checked_cast.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;

/// Kinds of values that never equal a value of another kind.
enum class KeyKind {
  kNull,
  kBool,
  kInteger,
  kFloat,
  kDate,
  kTime,
  kNaive,
  kZoned,
  kDuration,
  kDecimal,
  kString,
  kBinary,
  kRefused,
};

KeyKind KindOf(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::NA: return KeyKind::kNull;
    case arrow::Type::BOOL: return KeyKind::kBool;
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::UINT8:
    case arrow::Type::UINT16:
    case arrow::Type::UINT32:
    case arrow::Type::UINT64: return KeyKind::kInteger;
    case arrow::Type::HALF_FLOAT:
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE: return KeyKind::kFloat;
    case arrow::Type::DATE32:
    case arrow::Type::DATE64: return KeyKind::kDate;
    case arrow::Type::TIME32:
    case arrow::Type::TIME64: return KeyKind::kTime;
    case arrow::Type::TIMESTAMP:
      return checked_cast<const arrow::TimestampType&>(type).timezone().empty() ? KeyKind::kNaive
                                                                                : KeyKind::kZoned;
    case arrow::Type::DURATION: return KeyKind::kDuration;
    case arrow::Type::DECIMAL32:
    case arrow::Type::DECIMAL64:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256: return KeyKind::kDecimal;
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW: return KeyKind::kString;
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::BINARY_VIEW:
    case arrow::Type::FIXED_SIZE_BINARY: return KeyKind::kBinary;
    default: return KeyKind::kRefused;
  }
}

using Types = std::vector<std::shared_ptr<arrow::DataType>>;

int MaxByteWidth(const Types& types) {
  int width = 1;
  for (const auto& type : types) width = std::max(width, type->byte_width());
  return width;
}

template <typename Get>
bool AllEqual(const Types& types, Get get) {
  return std::all_of(types.begin(), types.end(),
                     [&](const auto& type) { return get(*type) == get(*types.front()); });
}

arrow::TimeUnit::type UnitOf(const arrow::DataType& type) {
  return type.id() == arrow::Type::DURATION
             ? checked_cast<const arrow::DurationType&>(type).unit()
             : checked_cast<const arrow::TimestampType&>(type).unit();
}

KeyComponent FormOf(std::string name, KeyKind kind, const Types& types) {
  KeyComponent c{std::move(name), KeyForm::kNull, 0};
  switch (kind) {
    case KeyKind::kNull:
    case KeyKind::kRefused: break;
    case KeyKind::kBool:
      c.form = KeyForm::kBool;
      c.width = 1;
      break;
    case KeyKind::kInteger: {
      const bool one_sign =
          AllEqual(types, [](const auto& t) { return arrow::is_signed_integer(t.id()); });
      c.form = one_sign ? KeyForm::kInteger : KeyForm::kMixedSign;
      c.width = one_sign ? MaxByteWidth(types) : 9;
      break;
    }
    case KeyKind::kFloat:
      c.form = KeyForm::kFloat;
      c.width = AllEqual(types, [](const auto& t) { return t.id(); }) ? MaxByteWidth(types) : 8;
      break;
    case KeyKind::kDate:
      c.form = KeyForm::kDate;
      c.width = MaxByteWidth(types);
      break;
    case KeyKind::kTime:
      c.form = KeyForm::kTime;
      c.width = 8;
      break;
    case KeyKind::kNaive:
    case KeyKind::kZoned:
    case KeyKind::kDuration: {
      const bool one_unit = AllEqual(types, UnitOf);
      c.form = one_unit ? KeyForm::kInstant : KeyForm::kSplitInstant;
      c.width = one_unit ? 8 : 12;
      break;
    }
    case KeyKind::kDecimal: {
      const bool one_scale = AllEqual(
          types, [](const auto& t) { return checked_cast<const arrow::DecimalType&>(t).scale(); });
      c.form = one_scale ? KeyForm::kDecimal : KeyForm::kStrippedDecimal;
      c.width = one_scale ? std::max(MaxByteWidth(types), 8) : 36;
      break;
    }
    case KeyKind::kString:
    case KeyKind::kBinary: c.form = KeyForm::kBytes; break;
  }
  return c;
}

arrow::Status Mismatch(const std::string& name, const arrow::DataType& a,
                       const arrow::DataType& b) {
  return MakeError(ErrorKind::kSchemaMismatch,
                   "key column types cannot be compared: column '" + name + "' is " + a.ToString() +
                       " on one side and " + b.ToString() +
                       " on the other; cast the source to the target's type");
}

}  // namespace

std::shared_ptr<arrow::DataType> KeyStorageType(const std::shared_ptr<arrow::DataType>& type) {
  switch (type->id()) {
    case arrow::Type::EXTENSION:
      return KeyStorageType(checked_cast<const arrow::ExtensionType&>(*type).storage_type());
    case arrow::Type::DICTIONARY:
      return KeyStorageType(checked_cast<const arrow::DictionaryType&>(*type).value_type());
    case arrow::Type::RUN_END_ENCODED:
      return KeyStorageType(checked_cast<const arrow::RunEndEncodedType&>(*type).value_type());
    default: return type;
  }
}

arrow::Result<KeySchema> KeySchema::Resolve(const std::vector<std::string>& names,
                                            const std::vector<Types>& types) {
  KeySchema schema;
  int total = 0;
  bool variable = false;
  for (size_t i = 0; i < names.size(); ++i) {
    Types storage;
    KeyKind kind = KeyKind::kNull;
    for (const auto& original : types[i]) {
      auto type = KeyStorageType(original);
      const KeyKind next = KindOf(*type);
      if (next == KeyKind::kRefused) {
        return MakeError(ErrorKind::kSchemaMismatch, "column '" + names[i] + "' of type " +
                                                         original->ToString() + " cannot be a key");
      }
      if (next == KeyKind::kNull) continue;  // only nulls: comparable with anything
      if (kind != KeyKind::kNull && next != kind) {
        return Mismatch(names[i], *storage.front(), *type);
      }
      kind = next;
      storage.push_back(std::move(type));
    }
    KeyComponent component = FormOf(names[i], kind, storage);
    variable |= component.form == KeyForm::kBytes;
    total += component.width;
    schema.components.push_back(std::move(component));
  }
  schema.flag_bytes = static_cast<int>((names.size() + 7) / 8);
  schema.inlined = !variable && schema.flag_bytes + total <= 16;
  return schema;
}

}  // namespace floodwall

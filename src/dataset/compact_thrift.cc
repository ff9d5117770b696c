#include "dataset/compact_thrift.h"

#include <algorithm>

namespace floodwall::thrift {
namespace {

/// Builds trees from a cursor; a failure shows in the cursor.
class Reader {
 public:
  Reader(Cursor* cursor, int64_t* left) : cursor_(cursor), left_(left) {}

  void Read(Type type, Value* out, int depth, bool in_container) {
    if (depth > kMaxDepth) return cursor_->Fail("nested too deeply");
    if (--*left_ < 0) return cursor_->Fail("too many values");
    out->type = type;
    switch (type) {
      case Type::kTrue:
      case Type::kFalse:
        // The byte itself, because writers differ in the one for false.
        out->integer = in_container ? cursor_->Integer(Type::kByte) : (type == Type::kTrue ? 1 : 0);
        return;
      case Type::kByte:
      case Type::kI16:
      case Type::kI32:
      case Type::kI64: out->integer = cursor_->Integer(type); return;
      case Type::kDouble: out->real_bits = cursor_->Fixed64(); return;
      case Type::kBinary: out->bytes = cursor_->Bytes(cursor_->BinaryLength()); return;
      case Type::kUuid: out->bytes = cursor_->Bytes(16); return;
      case Type::kList:
      case Type::kSet: return Elements(cursor_->List(), out, depth);
      case Type::kMap: return Elements(cursor_->Map(), out, depth);
      case Type::kStruct: {
        StructScope scope;
        FieldHeader header;
        while (cursor_->Next(&scope, &header)) {
          out->fields.emplace_back();
          out->fields.back().id = header.id;
          Read(header.type, &out->fields.back().value, depth + 1, false);
        }
        return;
      }
      case Type::kStop: break;
    }
    cursor_->Fail("unknown type");
  }

 private:
  void Elements(const ContainerHeader& header, Value* out, int depth) {
    out->element_type = header.element;
    out->key_type = header.key;
    const bool map = out->type == Type::kMap;
    // Never resized for ahead: the count may lie.
    for (uint64_t i = 0; i < (map ? 2 : 1) * header.count && cursor_->ok(); ++i) {
      out->elements.emplace_back();
      Read(map && i % 2 == 0 ? header.key : header.element, &out->elements.back(), depth + 1, true);
    }
  }

  Cursor* cursor_;
  int64_t* left_;
};

}  // namespace

void AppendValue(const Value& value, std::string* out) {
  switch (value.type) {
    case Type::kTrue:
    case Type::kFalse:
    case Type::kByte: out->push_back(static_cast<char>(value.integer)); return;
    case Type::kI16:
    case Type::kI32:
    case Type::kI64: AppendZigZag(value.integer, out); return;
    case Type::kDouble:
      for (int i = 0; i < 64; i += 8) out->push_back(static_cast<char>(value.real_bits >> i));
      return;
    case Type::kBinary:
      AppendVarint(value.bytes.size(), out);
      out->append(value.bytes);
      return;
    case Type::kUuid: out->append(value.bytes); return;
    case Type::kList:
    case Type::kSet:
      AppendListHeader(value.element_type, value.elements.size(), out);
      for (const Value& element : value.elements) AppendValue(element, out);
      return;
    case Type::kMap:
      AppendVarint(value.elements.size() / 2, out);
      if (value.elements.empty()) return;
      out->push_back(static_cast<char>((static_cast<int>(value.key_type) << 4) |
                                       static_cast<int>(value.element_type)));
      for (const Value& element : value.elements) AppendValue(element, out);
      return;
    case Type::kStruct: AppendStruct(value, out); return;
    case Type::kStop: return;
  }
}

const Value* Value::Find(int16_t id) const {
  for (const Field& field : fields) {
    if (field.id == id) return &field.value;
  }
  return nullptr;
}

Value* Value::Find(int16_t id) {
  return const_cast<Value*>(static_cast<const Value*>(this)->Find(id));
}

int64_t Value::GetInt(int16_t id, int64_t otherwise) const {
  const Value* value = Find(id);
  if (value == nullptr || value->type < Type::kByte || value->type > Type::kI64) return otherwise;
  return value->integer;
}

void Value::Set(int16_t id, Value value) {
  auto at = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.id >= id; });
  if (at != fields.end() && at->id == id) {
    at->value = std::move(value);
  } else {
    fields.insert(at, Field{id, std::move(value)});
  }
}

void Value::SetInt(int16_t id, Type value_type, int64_t value) { Set(id, Int(value_type, value)); }

void Value::Erase(int16_t id) {
  std::erase_if(fields, [&](const Field& field) { return field.id == id; });
}

Value ReadValue(Cursor* cursor, Type type, int64_t* max_values) {
  Value value;
  Reader(cursor, max_values).Read(type, &value, 0, false);
  return value;
}

arrow::Result<Value> ParseStruct(std::string_view data, size_t* consumed, int64_t max_values) {
  Cursor cursor(data);
  Value value = ReadValue(&cursor, Type::kStruct, &max_values);
  ARROW_RETURN_NOT_OK(cursor.status());
  if (consumed != nullptr) *consumed = static_cast<size_t>(cursor.position());
  return value;
}

void AppendStruct(const Value& value, std::string* out) {
  StructWriter writer(out);
  for (const Field& field : value.fields) {
    writer.Begin(field.id, field.value.type);
    if (field.value.type != Type::kTrue && field.value.type != Type::kFalse) {
      AppendValue(field.value, out);
    }
  }
  writer.Stop();
}

Value Int(Type type, int64_t value) {
  Value out;
  out.type = type;
  out.integer = value;
  return out;
}

Value Binary(std::string bytes) {
  Value out;
  out.type = Type::kBinary;
  out.bytes = std::move(bytes);
  return out;
}

}  // namespace floodwall::thrift

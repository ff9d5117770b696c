#include "dataset/compact_thrift.h"

#include <algorithm>
#include <cstring>

#include "floodwall/error.h"

namespace floodwall::thrift {
namespace {

constexpr int kMaxDepth = 32;

arrow::Status Bad(const char* why) {
  return MakeError(ErrorKind::kUnsupportedFile, std::string("malformed Thrift metadata: ") + why);
}

uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}

  size_t position() const { return position_; }

  arrow::Status Struct(Value* out, int depth) {
    if (depth > kMaxDepth) return Bad("nested too deeply");
    out->type = Type::kStruct;
    int16_t id = 0;
    while (true) {
      ARROW_ASSIGN_OR_RAISE(const uint8_t head, Byte());
      if (head == 0) return arrow::Status::OK();
      const int delta = head >> 4;
      if (delta == 0) {
        ARROW_ASSIGN_OR_RAISE(const uint64_t raw, Varint());
        id = static_cast<int16_t>(UnZigZag(raw));
      } else {
        id = static_cast<int16_t>(id + delta);
      }
      Field field;
      field.id = id;
      ARROW_ASSIGN_OR_RAISE(const Type type, ToType(head & 15));
      // A boolean field's value is its type.
      if (type == Type::kTrue || type == Type::kFalse) {
        field.value.type = type;
        field.value.integer = type == Type::kTrue ? 1 : 0;
      } else {
        ARROW_RETURN_NOT_OK(Read(type, &field.value, depth + 1));
      }
      out->fields.push_back(std::move(field));
    }
  }

 private:
  static arrow::Result<Type> ToType(int raw) {
    if (raw < 1 || raw > 13) return Bad("unknown type");
    return static_cast<Type>(raw);
  }

  arrow::Result<uint8_t> Byte() {
    if (position_ >= data_.size()) return Bad("ends early");
    return static_cast<uint8_t>(data_[position_++]);
  }

  arrow::Result<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      ARROW_ASSIGN_OR_RAISE(const uint8_t byte, Byte());
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return Bad("number too long");
  }

  arrow::Result<std::string> Bytes(uint64_t length) {
    if (length > data_.size() - position_) return Bad("ends early");
    std::string out(data_.substr(position_, static_cast<size_t>(length)));
    position_ += static_cast<size_t>(length);
    return out;
  }

  arrow::Status Read(Type type, Value* out, int depth) {
    out->type = type;
    switch (type) {
      case Type::kTrue:
      case Type::kFalse: {
        // Inside a container a boolean is a byte.
        ARROW_ASSIGN_OR_RAISE(const uint8_t byte, Byte());
        out->integer = byte;
        return arrow::Status::OK();
      }
      case Type::kByte: {
        ARROW_ASSIGN_OR_RAISE(const uint8_t byte, Byte());
        out->integer = static_cast<int8_t>(byte);
        return arrow::Status::OK();
      }
      case Type::kI16:
      case Type::kI32:
      case Type::kI64: {
        ARROW_ASSIGN_OR_RAISE(const uint64_t raw, Varint());
        out->integer = UnZigZag(raw);
        return arrow::Status::OK();
      }
      case Type::kDouble: {
        ARROW_ASSIGN_OR_RAISE(const std::string raw, Bytes(8));
        std::memcpy(&out->real, raw.data(), 8);
        return arrow::Status::OK();
      }
      case Type::kBinary: {
        ARROW_ASSIGN_OR_RAISE(const uint64_t length, Varint());
        ARROW_ASSIGN_OR_RAISE(out->bytes, Bytes(length));
        return arrow::Status::OK();
      }
      case Type::kUuid: {
        ARROW_ASSIGN_OR_RAISE(out->bytes, Bytes(16));
        return arrow::Status::OK();
      }
      case Type::kList:
      case Type::kSet: {
        ARROW_ASSIGN_OR_RAISE(const uint8_t head, Byte());
        uint64_t count = head >> 4;
        if (count == 15) {
          ARROW_ASSIGN_OR_RAISE(count, Varint());
        }
        ARROW_ASSIGN_OR_RAISE(out->element_type, ToType(head & 15));
        return Elements(out, count, depth);
      }
      case Type::kMap: {
        ARROW_ASSIGN_OR_RAISE(const uint64_t count, Varint());
        if (count == 0) return arrow::Status::OK();
        ARROW_ASSIGN_OR_RAISE(const uint8_t types, Byte());
        ARROW_ASSIGN_OR_RAISE(out->key_type, ToType(types >> 4));
        ARROW_ASSIGN_OR_RAISE(out->element_type, ToType(types & 15));
        if (count > data_.size()) return Bad("container too large");
        return Elements(out, 2 * count, depth);
      }
      case Type::kStruct: return Struct(out, depth);
      case Type::kStop: break;
    }
    return Bad("unknown type");
  }

  arrow::Status Elements(Value* out, uint64_t count, int depth) {
    if (depth > kMaxDepth) return Bad("nested too deeply");
    // Each element takes a byte at least: a count beyond the rest is a lie, found before
    // memory is taken for it. Elements are read one by one, never resized for ahead.
    if (count > data_.size() - position_) return Bad("container too large");
    for (uint64_t i = 0; i < count; ++i) {
      const Type type = out->type == Type::kMap && i % 2 == 0 ? out->key_type : out->element_type;
      out->elements.emplace_back();
      ARROW_RETURN_NOT_OK(Read(type, &out->elements.back(), depth + 1));
    }
    return arrow::Status::OK();
  }

  std::string_view data_;
  size_t position_ = 0;
};

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void AppendValue(const Value& value, std::string* out) {
  switch (value.type) {
    case Type::kTrue:
    case Type::kFalse:
    case Type::kByte: out->push_back(static_cast<char>(value.integer)); return;
    case Type::kI16:
    case Type::kI32:
    case Type::kI64: AppendVarint(ZigZag(value.integer), out); return;
    case Type::kDouble: out->append(reinterpret_cast<const char*>(&value.real), 8); return;
    case Type::kBinary:
      AppendVarint(value.bytes.size(), out);
      out->append(value.bytes);
      return;
    case Type::kUuid: out->append(value.bytes); return;
    case Type::kList:
    case Type::kSet: {
      const size_t count = value.elements.size();
      const auto type = static_cast<size_t>(value.element_type);
      out->push_back(static_cast<char>((std::min<size_t>(count, 15) << 4) | type));
      if (count >= 15) AppendVarint(count, out);
      for (const Value& element : value.elements) AppendValue(element, out);
      return;
    }
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

}  // namespace

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
  return value == nullptr ? otherwise : value->integer;
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

arrow::Result<Value> ParseStruct(std::string_view data, size_t* consumed) {
  Reader reader(data);
  Value value;
  ARROW_RETURN_NOT_OK(reader.Struct(&value, 0));
  if (consumed != nullptr) *consumed = reader.position();
  return value;
}

void AppendStruct(const Value& value, std::string* out) {
  int16_t last = 0;
  for (const Field& field : value.fields) {
    const int delta = field.id - last;
    const auto type = static_cast<int>(field.value.type);
    if (delta > 0 && delta <= 15) {
      out->push_back(static_cast<char>((delta << 4) | type));
    } else {
      out->push_back(static_cast<char>(type));
      AppendVarint(ZigZag(field.id), out);
    }
    last = field.id;
    if (field.value.type != Type::kTrue && field.value.type != Type::kFalse) {
      AppendValue(field.value, out);
    }
  }
  out->push_back('\0');
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

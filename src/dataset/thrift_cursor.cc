#include "dataset/thrift_cursor.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "floodwall/error.h"

namespace floodwall::thrift {

arrow::Status Malformed(const char* why) {
  return MakeError(ErrorKind::kUnsupportedFile, std::string("malformed Thrift metadata: ") + why);
}

Cursor::Cursor(std::string_view data) : end_(static_cast<int64_t>(data.size())), window_(data) {}

Cursor::Cursor(Input* input, int64_t offset, int64_t end)
    : input_(input), end_(end), window_start_(offset) {}

void Cursor::Fail(const char* why) {
  if (!status_.ok()) return;
  status_ = Malformed(why);
  at_ = window_.size();
}

void Cursor::Seek(int64_t position) {
  if (!status_.ok()) return;
  const int64_t in_window = position - window_start_;
  if (in_window >= 0 && in_window <= static_cast<int64_t>(window_.size())) {
    at_ = static_cast<size_t>(in_window);
  } else if (position > end_ || position < 0) {
    Fail("ends early");
  } else {
    window_start_ = position;
    window_ = {};
    at_ = 0;
  }
}

void Cursor::Reload() {
  if (input_ == nullptr) return;
  window_start_ = position();
  window_ = {};
  at_ = 0;
}

bool Cursor::Refill() {
  if (!status_.ok()) return false;
  const int64_t offset = position();
  if (input_ == nullptr || offset >= end_) {
    Fail("ends early");
    return false;
  }
  auto bytes = input_->ReadAt(offset);
  window_start_ = offset;
  window_ = {};
  at_ = 0;
  if (!bytes.ok()) {
    status_ = bytes.status();
    return false;
  }
  window_ = bytes->substr(0, static_cast<size_t>(end_ - offset));
  if (window_.empty()) Fail("ends early");
  return status_.ok();
}

Type Cursor::ToType(int raw) {
  if (raw >= 1 && raw <= 13) return static_cast<Type>(raw);
  Fail("unknown type");
  return Type::kStop;
}

uint64_t Cursor::Varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    const uint8_t byte = Byte();
    if (shift == 63 && byte > 1) break;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  Fail("number too long");
  return 0;
}

bool Cursor::Next(StructScope* scope, FieldHeader* field) {
  const uint8_t head = Byte();
  if (head == 0 || !status_.ok()) return false;
  const int delta = head >> 4;
  const int64_t id = delta == 0 ? Integer(Type::kI16) : scope->last_ + delta;
  const Type type = ToType(head & 15);
  // Ids of fields begin at 1; 0 and below never name one.
  if (id < 1 || id > std::numeric_limits<int16_t>::max()) Fail("field id");
  if (id <= 64) {
    const uint64_t bit = uint64_t{1} << ((id - 1) & 63);
    if ((scope->seen_low_ & bit) != 0) Fail("repeated field");
    scope->seen_low_ |= bit;
  } else {
    // Beyond the bits: in ascending order, as every writer has them, nothing comes twice.
    if (id <= scope->last_high_) Fail("repeated field");
    scope->last_high_ = static_cast<int16_t>(id);
  }
  if (!status_.ok()) return false;
  scope->last_ = static_cast<int16_t>(id);
  *field = {scope->last_, type};
  return true;
}

int64_t Cursor::Integer(Type type) {
  if (type == Type::kByte) return static_cast<int8_t>(Byte());
  const uint64_t raw = Varint();
  const int64_t value = static_cast<int64_t>(raw >> 1) ^ -static_cast<int64_t>(raw & 1);
  const int64_t most = type == Type::kI16   ? std::numeric_limits<int16_t>::max()
                       : type == Type::kI32 ? std::numeric_limits<int32_t>::max()
                                            : std::numeric_limits<int64_t>::max();
  if (value > most || value < -most - 1) {
    // Parsers that cut it to size would see another number.
    Fail("number out of range");
    return 0;
  }
  return value;
}

uint64_t Cursor::Fixed64() {
  uint64_t bits = 0;
  for (int i = 0; i < 64; i += 8) bits |= static_cast<uint64_t>(Byte()) << i;
  return bits;
}

int64_t Cursor::BinaryLength() {
  const uint64_t length = Varint();
  if (length > static_cast<uint64_t>(end_ - position())) {
    Fail("ends early");
    return 0;
  }
  return static_cast<int64_t>(length);
}

std::string Cursor::Bytes(int64_t length) {
  std::string out;
  if (length < 0 || length > end_ - position()) Fail("ends early");
  if (!status_.ok()) return out;
  out.reserve(static_cast<size_t>(length));
  while (out.size() < static_cast<size_t>(length)) {
    if (at_ == window_.size() && !Refill()) return {};
    const size_t part = std::min(window_.size() - at_, static_cast<size_t>(length) - out.size());
    out.append(window_.substr(at_, part));
    at_ += part;
  }
  return out;
}

std::string_view Cursor::View() {
  const auto length = static_cast<size_t>(BinaryLength());
  if (length > window_.size() - at_) Fail("ends early");
  if (!status_.ok()) return {};
  at_ += length;
  return window_.substr(at_ - length, length);
}

uint64_t Cursor::CheckedCount(uint64_t count, uint64_t bytes_each) {
  // Each element takes a byte at least: a count beyond the rest is a lie, found before anybody
  // takes memory for it.
  if (count > static_cast<uint64_t>(end_ - position()) / bytes_each) {
    Fail("container too large");
    return 0;
  }
  elements_ += static_cast<int64_t>(count);
  return count;
}

ContainerHeader Cursor::List() {
  ContainerHeader out;
  const uint8_t head = Byte();
  uint64_t count = head >> 4;
  if (count == 15) count = Varint();
  out.element = ToType(head & 15);
  out.count = CheckedCount(count, 1);
  return out;
}

ContainerHeader Cursor::Map() {
  ContainerHeader out;
  const uint64_t count = Varint();
  if (count == 0) return out;
  const uint8_t types = Byte();
  out.key = ToType(types >> 4);
  out.element = ToType(types & 15);
  out.count = CheckedCount(count, 2);
  return out;
}

void Cursor::Skip(Type type, int depth, bool in_container) {
  if (depth > kMaxDepth) return Fail("nested too deeply");
  switch (type) {
    case Type::kTrue:
    case Type::kFalse:
      if (in_container) Integer(Type::kByte);
      return;
    case Type::kByte:
    case Type::kI16:
    case Type::kI32:
    case Type::kI64: Integer(type); return;
    case Type::kDouble: return Seek(position() + 8);
    case Type::kUuid: return Seek(position() + 16);
    case Type::kBinary: {
      const int64_t length = BinaryLength();
      return Seek(position() + length);
    }
    case Type::kList:
    case Type::kSet: {
      const ContainerHeader list = List();
      for (uint64_t i = 0; i < list.count && ok(); ++i) Skip(list.element, depth + 1, true);
      return;
    }
    case Type::kMap: {
      const ContainerHeader map = Map();
      for (uint64_t i = 0; i < map.count && ok(); ++i) {
        Skip(map.key, depth + 1, true);
        Skip(map.element, depth + 1, true);
      }
      return;
    }
    case Type::kStruct: {
      StructScope scope;
      FieldHeader field;
      while (Next(&scope, &field)) Skip(field.type, depth + 1);
      return;
    }
    case Type::kStop: break;
  }
  Fail("unknown type");
}

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void AppendZigZag(int64_t value, std::string* out) {
  AppendVarint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63), out);
}

void AppendListHeader(Type element, uint64_t count, std::string* out) {
  out->push_back(
      static_cast<char>((std::min<uint64_t>(count, 15) << 4) | static_cast<uint64_t>(element)));
  if (count >= 15) AppendVarint(count, out);
}

void StructWriter::Begin(int16_t id, Type type) {
  const int delta = id - last_;
  const auto raw = static_cast<int>(type);
  if (delta > 0 && delta <= 15) {
    out_->push_back(static_cast<char>((delta << 4) | raw));
  } else {
    out_->push_back(static_cast<char>(raw));
    AppendZigZag(id, out_);
  }
  last_ = id;
}

void StructWriter::Integer(int16_t id, Type type, int64_t value) {
  Begin(id, type);
  if (type == Type::kByte) {
    out_->push_back(static_cast<char>(value));
  } else {
    AppendZigZag(value, out_);
  }
}

void StructWriter::Raw(int16_t id, Type type, std::string_view value) {
  Begin(id, type);
  out_->append(value);
}

}  // namespace floodwall::thrift

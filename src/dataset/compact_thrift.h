#pragma once

/// One small struct of Thrift's compact protocol as a tree, such as a column chunk's metadata or
/// a page header, so that it can be changed in a few places and written back with everything
/// else, known to us or not, as it was. Whole footers are walked with a Cursor instead: a tree
/// takes tens of times their bytes.
///
/// A tree that was not changed is written back byte for byte as all known writers wrote it
/// (minimal varints).
///
/// Threading: values. Errors: kUnsupportedFile on any malformed, truncated or hostile input
/// (depth, container sizes, repeated fields and total values are limited); never crashes, never
/// reads past the end. Units: bytes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/result.h"
#include "dataset/thrift_cursor.h"

namespace floodwall::thrift {

struct Value;

struct Field;  // id and Value; declared complete below

/// One value. Which members count depends on `type`.
struct Value {
  Type type = Type::kStop;
  int64_t integer = 0;     ///< kByte kI16 kI32 kI64; for kTrue kFalse 1 or 0, in containers
                           ///< the byte (1 is true)
  uint64_t real_bits = 0;  ///< kDouble, as its bits
  std::string bytes;       ///< kBinary, kUuid
  Type element_type = Type::kStop;  ///< kList kSet; a map's value type
  Type key_type = Type::kStop;      ///< kMap
  std::vector<Value> elements;      ///< kList kSet; kMap: key, value, key, value ...
  std::vector<Field> fields;        ///< kStruct, in the order read

  // Struct access by field id.
  const Value* Find(int16_t id) const;
  Value* Find(int16_t id);
  /// `otherwise` also for a field that is no integer.
  int64_t GetInt(int16_t id, int64_t otherwise) const;
  /// Sets or inserts in ascending place. Booleans become kTrue or kFalse.
  void Set(int16_t id, Value value);
  void SetInt(int16_t id, Type type, int64_t value);
  void Erase(int16_t id);
};

struct Field {
  int16_t id = 0;
  Value value;
};

/// Values a tree may have unless its reader asks for more: 8 MB of memory at most.
inline constexpr int64_t kMaxValues = 1 << 16;

/// Reads one struct from the start of `data`; `*consumed` gets its length. More values than
/// `max_values` are refused.
arrow::Result<Value> ParseStruct(std::string_view data, size_t* consumed,
                                 int64_t max_values = kMaxValues);
/// Reads one value at the cursor. `*max_values` falls by the values read.
Value ReadValue(Cursor* cursor, Type type, int64_t* max_values);
/// Appends a value without its field's head.
void AppendValue(const Value& value, std::string* out);
/// Appends the struct to `out`.
void AppendStruct(const Value& value, std::string* out);

Value Int(Type type, int64_t value);
Value Binary(std::string bytes);

}  // namespace floodwall::thrift

#pragma once

/// Thrift's compact protocol as a tree, so that a Parquet footer can be changed in a few
/// places and written back with everything else, known to us or not, as it was.
///
/// Source: Apache Thrift `doc/specs/thrift-compact-protocol.md`; Parquet's use of it:
/// parquet-format `parquet.thrift`. A tree that was not changed is written back
/// byte for byte as all known writers wrote it (minimal varints).
///
/// Threading: values. Errors: Status::Invalid on any malformed, truncated or hostile input
/// (depth, container sizes and total values are limited); never crashes, never reads past
/// the end. Units: bytes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/result.h"

namespace floodwall::thrift {

enum class Type : uint8_t {
  kStop = 0,
  kTrue = 1,
  kFalse = 2,
  kByte = 3,
  kI16 = 4,
  kI32 = 5,
  kI64 = 6,
  kDouble = 7,
  kBinary = 8,
  kList = 9,
  kSet = 10,
  kMap = 11,
  kStruct = 12,
  kUuid = 13,
};

struct Value;

struct Field;  // id and Value; declared complete below

/// One value. Which members count depends on `type`.
struct Value {
  Type type = Type::kStop;
  int64_t integer = 0;              ///< kByte kI16 kI32 kI64; 1 or 0 for kTrue kFalse
  double real = 0;                  ///< kDouble
  std::string bytes;                ///< kBinary, kUuid
  Type element_type = Type::kStop;  ///< kList kSet; a map's value type
  Type key_type = Type::kStop;      ///< kMap
  std::vector<Value> elements;      ///< kList kSet; kMap: key, value, key, value ...
  std::vector<Field> fields;        ///< kStruct, in the order read

  // Struct access by field id.
  const Value* Find(int16_t id) const;
  Value* Find(int16_t id);
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

/// Reads one struct from the start of `data`; `*consumed` gets its length.
arrow::Result<Value> ParseStruct(std::string_view data, size_t* consumed);
/// Appends the struct to `out`.
void AppendStruct(const Value& value, std::string* out);

Value Int(Type type, int64_t value);
Value Binary(std::string bytes);

}  // namespace floodwall::thrift

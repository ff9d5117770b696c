#pragma once

/// How the values of key columns become bytes that are equal exactly when the keys are.
///
/// The source and every target file may store one logical column in different types (int32
/// beside int64, string beside dictionary, milliseconds beside microseconds). A KeySchema is
/// resolved over all of them once; the encoder then writes one canonical form.
///
/// Threading: immutable values. Errors: kSchemaMismatch for types that cannot be equal
/// (bool and int, int and float, string and binary, zoned and naive timestamps) or that
/// cannot be keys (nested). Lifetime: values only.

#include <memory>
#include <string>
#include <vector>

#include "arrow/result.h"
#include "arrow/type.h"

namespace floodwall {

/// Canonical form of one component.
enum class KeyForm {
  kBool,             ///< 1 byte
  kInteger,          ///< two's complement, `width` bytes, all sides of one signedness
  kMixedSign,        ///< 8 bytes and one that tells values of 2^63 and more from negative ones
  kFloat,            ///< `width` bytes, one NaN, no negative zero
  kDate,             ///< days (4 bytes) or, when a side has date64, milliseconds (8)
  kTime,             ///< nanoseconds, 8 bytes
  kInstant,          ///< ticks (8 bytes) of one unit, timestamps and durations
  kSplitInstant,     ///< units differ: whole seconds (8) and nanoseconds (4): no overflow
  kDecimal,          ///< unscaled value, `width` bytes, one scale on all sides
  kStrippedDecimal,  ///< scales differ: unscaled without trailing zeros (32) and scale (4)
  kBytes,            ///< length and bytes: strings, binary
  kNull,             ///< every side is of the null type
};

struct KeyComponent {
  std::string name;
  KeyForm form = KeyForm::kNull;
  int width = 0;  ///< bytes; 0 for kBytes
};

/// The resolved forms of all key columns, in the order the caller named them.
struct KeySchema {
  std::vector<KeyComponent> components;
  /// The key fits 16 bytes with its null flags: identity is the key itself.
  bool inlined = false;
  /// Bytes of null flags at the front.
  int flag_bytes = 1;

  /// types[i] holds the Arrow types that component i has in the source and in the files.
  static arrow::Result<KeySchema> Resolve(
      const std::vector<std::string>& names,
      const std::vector<std::vector<std::shared_ptr<arrow::DataType>>>& types);
};

/// The type whose values decide equality: a dictionary's value type, an extension's storage.
std::shared_ptr<arrow::DataType> KeyStorageType(const std::shared_ptr<arrow::DataType>& type);

}  // namespace floodwall

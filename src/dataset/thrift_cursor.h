#pragma once

/// Thrift's compact protocol as a stream of fields: reads structs of any size through a window
/// of fixed size, and writes them field by field. Footers and page headers are walked with it.
///
/// Source: Apache Thrift `doc/specs/thrift-compact-protocol.md`; Parquet's use of it:
/// parquet-format `parquet.thrift`.
///
/// Threading: one thread an object. Errors: sticky, as a stream's: after a failure every read
/// gives zeros, every loop over fields ends, and status() says why (kUnsupportedFile for
/// malformed, truncated or hostile input: depth, numbers, container sizes and repeated fields are
/// checked; the input's own error otherwise). Takes no memory that grows with the input.
/// Units: bytes. Lifetime: views into the caller's bytes.

#include <cstdint>
#include <string>
#include <string_view>

#include "arrow/result.h"
#include "arrow/status.h"

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

/// Structs and containers inside each other; Parquet's own nest six deep.
inline constexpr int kMaxDepth = 32;

/// Where a cursor's bytes come from, if they are not in memory.
class Input {
 public:
  virtual ~Input() = default;
  /// At least one byte from `offset` on; valid until the next call.
  virtual arrow::Result<std::string_view> ReadAt(int64_t offset) = 0;
};

/// The fields of one struct that were seen. A field that comes twice is refused: readers
/// disagree on which one counts.
class StructScope {
 private:
  friend class Cursor;
  int16_t last_ = 0;
  int16_t last_high_ = 0;
  uint64_t seen_low_ = 0;
};

struct FieldHeader {
  int16_t id = 0;
  Type type = Type::kStop;
};

struct ContainerHeader {
  Type key = Type::kStop;  ///< maps only
  Type element = Type::kStop;
  uint64_t count = 0;  ///< of elements; a map has a key and a value each
};

class Cursor {
 public:
  /// Positions count from 0 at the start of `data`.
  explicit Cursor(std::string_view data);
  /// Bytes [offset, end) of an input; positions are its offsets.
  Cursor(Input* input, int64_t offset, int64_t end);

  bool ok() const { return status_.ok(); }
  const arrow::Status& status() const { return status_; }
  int64_t position() const { return window_start_ + static_cast<int64_t>(at_); }
  /// Jumps; the next read is there.
  void Seek(int64_t position);
  /// Reads on from the input, after somebody else has read from it.
  void Reload();
  /// Makes every later read fail with this.
  void Fail(const char* why);

  /// The next field of a struct; false at its end and after a failure.
  bool Next(StructScope* scope, FieldHeader* field);
  /// The value of a field or element: kByte kI16 kI32 kI64, within the type's range. A boolean
  /// is the type of its field, and in containers a kByte.
  int64_t Integer(Type type);
  uint64_t Fixed64();  ///< kDouble, as its bits
  /// Length of a kBinary; then its bytes are read or sought past.
  int64_t BinaryLength();
  std::string Bytes(int64_t length);
  /// A kBinary where it lies, of a cursor over bytes in memory.
  std::string_view View();
  ContainerHeader List();  ///< kList kSet
  ContainerHeader Map();
  /// Passes over a value. `depth`: structs around it.
  void Skip(Type type, int depth, bool in_container = false);

  /// Elements of all containers read or passed over so far: what a tree of them would hold.
  int64_t element_count() const { return elements_; }

 private:
  uint8_t Byte() {
    if (at_ < window_.size() || Refill()) return static_cast<uint8_t>(window_[at_++]);
    return 0;
  }
  bool Refill();
  uint64_t Varint();
  Type ToType(int raw);
  uint64_t CheckedCount(uint64_t count, uint64_t bytes_each);

  Input* input_ = nullptr;
  int64_t end_ = 0;
  int64_t window_start_ = 0;
  std::string_view window_;
  size_t at_ = 0;
  int64_t elements_ = 0;
  arrow::Status status_;
};

/// Appends one struct to a string, fields in the order given.
class StructWriter {
 public:
  explicit StructWriter(std::string* out) : out_(out) {}
  /// A field whose value the caller appends; booleans are complete with it.
  void Begin(int16_t id, Type type);
  void Integer(int16_t id, Type type, int64_t value);
  /// `value`: as it is encoded.
  void Raw(int16_t id, Type type, std::string_view value);
  void Stop() { out_->push_back('\0'); }

 private:
  std::string* out_;
  int16_t last_ = 0;
};

void AppendVarint(uint64_t value, std::string* out);
void AppendZigZag(int64_t value, std::string* out);
void AppendListHeader(Type element, uint64_t count, std::string* out);

/// Malformed Thrift, as a Status.
arrow::Status Malformed(const char* why);

}  // namespace floodwall::thrift

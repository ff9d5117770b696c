#pragma once

/// The bytes of a recording: a header page, then records of 256 bytes in a ring.
///
/// Numbers are little-endian, as on every machine this library runs on. Record n (from 1) lies in
/// slot (n - 1) % count. A checksum ends header, end mark and record, so that each can be judged
/// alone.
///
/// Threading: pure. Errors: std::nullopt. Units: bytes. Lifetime: values.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "floodwall/recorder.h"

namespace floodwall::recording {

constexpr size_t kHeaderBytes = 4096;
constexpr size_t kEndBytes = 256;  ///< the last of the header page
constexpr size_t kRecordBytes = 256;

using RecordImage = std::array<char, kRecordBytes>;
using HeaderImage = std::array<char, kHeaderBytes>;
using EndImage = std::array<char, kEndBytes>;

RecordImage Encode(const MemoryRecord& record);
std::optional<MemoryRecord> DecodeRecord(std::span<const char> image);

/// Without the end mark.
HeaderImage Encode(const RecordingHeader& header, int64_t record_count);
std::optional<RecordingHeader> DecodeHeader(std::span<const char> image);
/// True when the first bytes are those of a recording, intact or not.
bool LooksLikeRecording(std::span<const char> image);

struct End {
  int64_t finished_ns;
  std::string ending;
};
EndImage Encode(const End& end);
std::optional<End> DecodeEnd(std::span<const char> image);

}  // namespace floodwall::recording

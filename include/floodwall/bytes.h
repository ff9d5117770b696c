#pragma once

/// Byte sizes as users write them ("256MiB") and as errors print them.
///
/// Threading: pure functions. Errors: arrow::Status::Invalid naming the text.
/// Units: bytes. Lifetime: values only.

#include <cstdint>
#include <string>
#include <string_view>

#include "arrow/result.h"
#include "floodwall/export.h"

namespace floodwall {

inline constexpr int64_t kKiB = int64_t{1} << 10;
inline constexpr int64_t kMiB = int64_t{1} << 20;
inline constexpr int64_t kGiB = int64_t{1} << 30;

/// Parses "64MiB", "1.5GB", "2g", "1048576": a non-negative decimal number, then an
/// optional unit. KiB MiB GiB TiB (and k m g t, with or without B absent) are powers of
/// 1024, KB MB GB TB powers of 1000, as the IEC and SI say. Case and spaces are ignored.
FLOODWALL_EXPORT arrow::Result<int64_t> ParseByteSize(std::string_view text);

/// Formats for people: "128.0 MiB", "12 B". Never throws away the magnitude.
FLOODWALL_EXPORT std::string FormatBytes(int64_t bytes);

}  // namespace floodwall

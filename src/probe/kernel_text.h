#pragma once

/// Numbers and keyed lines of kernel files: "12345", "max", "MemTotal:  123 kB", "anon 42".
///
/// Tolerates what other kernels and emulations write: CRLF, tabs, keys nobody knows, numbers that
/// do not fit (they saturate), lines without a number (they are skipped).
///
/// Threading: pure. Errors: std::nullopt. Units: as in the file, "kB" becomes bytes.
/// Lifetime: views into the caller's text.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace floodwall {

/// The unsigned number at the start of `text` after blanks; saturates at the greatest int64.
std::optional<int64_t> ParseNumber(std::string_view text);

/// The next line without its end, cut off the front of `text`.
std::string_view NextLine(std::string_view* text);

/// The next blank-separated word, cut off the front of `line`.
std::string_view NextWord(std::string_view* line);

/// One figure to look for: its key, with or without the colon, and where it goes.
struct KeyedNumber {
  std::string_view key;
  int64_t* value;
};

/// Stores the numbers of the keys it finds and leaves the others as they are; stops as soon as it
/// has all. Returns how many keys were found.
int FindNumbers(std::string_view text, std::initializer_list<KeyedNumber> wanted);

/// A sum that saturates.
int64_t SaturatingAdd(int64_t a, int64_t b);

}  // namespace floodwall

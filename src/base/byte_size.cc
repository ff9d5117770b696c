#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "arrow/status.h"
#include "floodwall/bytes.h"

namespace floodwall {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 17> kUnits = {{{"", 1},
                                          {"b", 1},
                                          {"k", 1024.0},
                                          {"kib", 1024.0},
                                          {"ki", 1024.0},
                                          {"kb", 1e3},
                                          {"m", 1048576.0},
                                          {"mib", 1048576.0},
                                          {"mi", 1048576.0},
                                          {"mb", 1e6},
                                          {"g", 1073741824.0},
                                          {"gib", 1073741824.0},
                                          {"gi", 1073741824.0},
                                          {"gb", 1e9},
                                          {"t", 1099511627776.0},
                                          {"tib", 1099511627776.0},
                                          {"tb", 1e12}}};

arrow::Status BadSize(std::string_view text) {
  return arrow::Status::Invalid(
      "not a byte size (use a number with B, KiB, MiB, GiB, KB, MB or GB, such as 256MiB): '", text,
      "'");
}

}  // namespace

arrow::Result<int64_t> ParseByteSize(std::string_view text) {
  std::string compact;
  for (char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) {
      compact.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  double number = 0;
  const char* end = compact.data() + compact.size();
  auto [rest, error] = std::from_chars(compact.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || number < 0) return BadSize(text);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  for (const Unit& candidate : kUnits) {
    if (candidate.name != unit) continue;
    const double bytes = number * candidate.factor;
    if (!(bytes < 9.2e18)) return BadSize(text);
    return static_cast<int64_t>(std::llround(bytes));
  }
  return BadSize(text);
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::fabs(value) >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> out{};
  const int n =
      std::snprintf(out.data(), out.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kNames[unit]);
  return std::string(out.data(), static_cast<size_t>(n));
}

}  // namespace floodwall

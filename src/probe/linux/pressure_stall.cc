#include "probe/linux/pressure_stall.h"

#include <optional>

#include "probe/kernel_text.h"

namespace floodwall {
namespace {

/// "12.34" as 1234, "7" as 700.
std::optional<int64_t> Hundredths(std::string_view text) {
  const auto whole = ParseNumber(text);
  if (!whole || *whole > 1000) return std::nullopt;
  int64_t out = *whole * 100;
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return out;
  int64_t unit = 10;
  for (size_t at = dot + 1; at < text.size() && unit > 0; ++at, unit /= 10) {
    if (text[at] < '0' || text[at] > '9') return std::nullopt;
    out += (text[at] - '0') * unit;
  }
  return out;
}

}  // namespace

void ParsePressureStall(std::string_view text, std::string_view source, Reading* some,
                        Reading* full) {
  while (!text.empty()) {
    std::string_view line = NextLine(&text);
    const std::string_view kind = NextWord(&line);
    Reading* out = kind == "some" ? some : kind == "full" ? full : nullptr;
    if (out == nullptr) continue;
    for (std::string_view word = NextWord(&line); !word.empty(); word = NextWord(&line)) {
      constexpr std::string_view kKey = "avg10=";
      if (!word.starts_with(kKey)) continue;
      if (const auto value = Hundredths(word.substr(kKey.size()))) *out = {*value, 0, source};
    }
  }
}

}  // namespace floodwall

#include "probe/kernel_text.h"

#include <limits>

namespace floodwall {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

int64_t SaturatingMultiply(int64_t value, int64_t factor) {
  int64_t out;
  return __builtin_mul_overflow(value, factor, &out) ? kMost : out;
}

}  // namespace

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t out;
  return __builtin_add_overflow(a, b, &out) ? kMost : out;
}

std::string_view NextLine(std::string_view* text) {
  const size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

std::string_view NextWord(std::string_view* line) {
  size_t start = 0;
  while (start < line->size() && IsBlank((*line)[start])) ++start;
  size_t end = start;
  while (end < line->size() && !IsBlank((*line)[end])) ++end;
  const std::string_view word = line->substr(start, end - start);
  line->remove_prefix(end);
  return word;
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && IsBlank(text[at])) ++at;
  const size_t first = at;
  int64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    value = SaturatingAdd(SaturatingMultiply(value, 10), text[at] - '0');
  }
  if (at == first) return std::nullopt;
  return value;
}

int FindNumbers(std::string_view text, std::initializer_list<KeyedNumber> wanted) {
  int found = 0;
  while (!text.empty() && found < static_cast<int>(wanted.size())) {
    std::string_view line = NextLine(&text);
    for (const KeyedNumber& want : wanted) {
      if (!line.starts_with(want.key)) continue;
      std::string_view rest = line.substr(want.key.size());
      if (!rest.empty() && rest[0] == ':') rest.remove_prefix(1);
      if (rest.empty() || !IsBlank(rest[0])) continue;  // a longer key
      const auto value = ParseNumber(NextWord(&rest));
      if (!value) break;
      *want.value = NextWord(&rest) == "kB" ? SaturatingMultiply(*value, 1024) : *value;
      ++found;
      break;
    }
  }
  return found;
}

}  // namespace floodwall

#pragma once

/// Figures as sentences show them.
///
/// Threading: pure. Errors: none. Units: bytes in, MB of 1048576 bytes out. Lifetime: values.

#include <cmath>
#include <cstdio>
#include <string>

namespace floodwall {

constexpr double kMb = 1048576;

/// Limits as a person wrote them: without decimals when they have none.
inline std::string Megabytes(double bytes) {
  char text[64];
  const double mb = bytes / kMb;
  std::snprintf(text, sizeof text, mb == std::floor(mb) ? "%.0f" : "%g", mb);
  return text;
}

inline std::string OneDecimal(double bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f", bytes / kMb);
  return text;
}

inline std::string Percent(double used, double limit) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100 * used / limit);
  return text;
}

}  // namespace floodwall

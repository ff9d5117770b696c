#pragma once

/// How severe the use of memory is, and how a figure is judged against its limit.
///
/// Threading: pure functions. Errors: none. Units: bytes. Lifetime: values.

#include <algorithm>
#include <cstdint>

namespace floodwall {

/// In order of severity.
enum class MemoryPressureLevel : uint8_t { kNormal, kWarning, kCritical, kEmergency };

/// "normal", "warning", "critical", "emergency".
constexpr const char* ToString(MemoryPressureLevel level) {
  constexpr const char* kNames[] = {"normal", "warning", "critical", "emergency"};
  return kNames[static_cast<int>(level)];
}

/// The more severe of two levels.
constexpr MemoryPressureLevel MaxPressure(MemoryPressureLevel a, MemoryPressureLevel b) {
  return std::max(a, b);
}

/// Below 70 % of the limit NORMAL, to 90 % WARNING, to the limit itself CRITICAL, above it
/// EMERGENCY. A limit of 0 allows 0.
constexpr MemoryPressureLevel JudgeUse(double used, double limit) {
  if (used > limit) return MemoryPressureLevel::kEmergency;
  if (limit <= 0) return MemoryPressureLevel::kNormal;
  const double ratio = used / limit;
  if (ratio > 0.9) return MemoryPressureLevel::kCritical;
  return ratio >= 0.7 ? MemoryPressureLevel::kWarning : MemoryPressureLevel::kNormal;
}

/// What is available against the least that must stay available: below it EMERGENCY, below 1.5
/// times CRITICAL, below twice WARNING. A floor of 0 is never passed.
constexpr MemoryPressureLevel JudgeAvailable(double available, double floor) {
  if (available < floor) return MemoryPressureLevel::kEmergency;
  if (available < 1.5 * floor) return MemoryPressureLevel::kCritical;
  return available < 2 * floor ? MemoryPressureLevel::kWarning : MemoryPressureLevel::kNormal;
}

}  // namespace floodwall

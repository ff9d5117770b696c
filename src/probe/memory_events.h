#pragma once

/// How a sampler sleeps: for a time, until somebody interrupts it, or until the kernel hints that
/// memory moves.
///
/// A hint is never a fact: after one the sampler reads, and finds what it finds. Hints that come in
/// quick succession are one. Where the system gives none, time and interrupts are left.
///
/// Threading: Wait on one thread, Interrupt and Sources on any. Errors: a source that fails is
/// dropped and tried again later. Units: nanoseconds of a monotonic clock.
/// Lifetime: owns its descriptors. Not for use after fork: a child makes its own.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace floodwall {

class MemoryEvents {
 public:
  enum class Wake { kTime, kInterrupt, kHint };

  virtual ~MemoryEvents() = default;
  /// With the hints of this system.
  static std::unique_ptr<MemoryEvents> Native();
  /// Time and interrupts only.
  static std::unique_ptr<MemoryEvents> Timed();

  virtual int64_t Now() = 0;
  virtual Wake Wait(int64_t timeout_ns) = 0;
  virtual void Interrupt() = 0;
  /// What hints come from, such as "/proc/pressure/memory".
  virtual std::vector<std::string> Sources() { return {}; }
};

}  // namespace floodwall

#pragma once

/// Reads a probe at most once in a while and keeps what a level is judged by.
///
/// A figure that cannot be read is -1 to be shown and its last known value to be judged; the first
/// failure of each kind is logged.
///
/// Threading: from any thread; one reads, the others take what it published before. After fork a
/// child starts without figures. Errors: in the figures. Units: bytes. Lifetime: the probe must
/// outlive it.

#include <cstdint>
#include <optional>

#include "floodwall/probe.h"
#include "monitor/read_cache.h"

namespace floodwall {

class SystemCache {
 public:
  SystemCache(MemoryProbe* probe, double seconds)
      : probe_(probe), age_ns_(static_cast<int64_t>(seconds * 1e9)) {}

  /// Figures of at most that age. Without `exact`, available may be a lower bound of at least
  /// `enough`.
  SystemFigures Get(bool exact, int64_t enough);
  /// Exact figures read now, published for Get.
  SystemFigures Refresh();
  /// What was published last in this process.
  std::optional<SystemFigures> Last() const;

 private:
  SystemFigures Read(bool exact, int64_t enough, const std::optional<SystemFigures>& before);

  MemoryProbe* probe_;
  const int64_t age_ns_;
  ReadCache figures_;
};

}  // namespace floodwall

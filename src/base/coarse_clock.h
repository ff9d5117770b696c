#pragma once

/// A monotonic clock at the kernel's tick: a few milliseconds coarse, a few nanoseconds to read.
///
/// Threading: a call into the vDSO. Errors: none. Units: nanoseconds. Lifetime: none.

#include <cstdint>
#include <ctime>

namespace floodwall {

inline int64_t CoarseNow() {
  timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
  clock_gettime(CLOCK_MONOTONIC, &now);
#endif
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace floodwall

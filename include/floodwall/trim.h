#pragma once

/// Gives freed memory back to the operating system.
///
/// Allocators keep what was freed: a process can stand at its limit while it holds little.
///
/// Threading: any thread; calls that overlap do the work once. Errors: none, figures that nobody
/// can read are -1. Units: bytes. Lifetime: values only.

#include <cstdint>

#include "floodwall/export.h"

namespace floodwall {

struct TrimResult {
  int64_t before_bytes = -1;  ///< anonymous resident memory of this process
  int64_t after_bytes = -1;
  bool skipped = false;  ///< the last calls gave nothing back, so this one did not try

  int64_t returned_bytes() const {
    return before_bytes > after_bytes && after_bytes >= 0 ? before_bytes - after_bytes : 0;
  }
};

/// Asks Arrow's allocators and glibc's heap to return what they keep. When a call brings back less
/// than 1 MiB the next ones are skipped for 100 ms, then twice as long each time, up to 10 s:
/// walking a heap costs milliseconds a gigabyte. `force` always tries.
FLOODWALL_EXPORT TrimResult Trim(bool force = false);

}  // namespace floodwall

#pragma once

/// What tests of MemoryWatch put in place of the system's clock and hints.
///
/// Threading, errors, units, lifetime: as floodwall/memory_watch.h says.

#include <memory>

#include "floodwall/memory_watch.h"
#include "probe/memory_events.h"

namespace floodwall {

struct MemoryWatchForTest {
  static arrow::Result<std::unique_ptr<MemoryWatch>> Start(std::shared_ptr<MemoryMonitor> monitor,
                                                           const MemoryWatchOptions& options,
                                                           MemoryWatch::Callback callback,
                                                           std::unique_ptr<MemoryEvents> events);
};

}  // namespace floodwall

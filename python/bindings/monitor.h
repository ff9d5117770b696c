#pragma once

/// The core's monitor behind a floodwall.MemoryMonitor.
///
/// Threading: the GIL is held. Errors: raises TypeError for another object. Lifetime: shared.

#include <nanobind/nanobind.h>

#include <memory>

#include "floodwall/memory_monitor.h"

namespace floodwall::python {

std::shared_ptr<MemoryMonitor> NativeMonitor(nanobind::handle monitor);
/// A snapshot's figures by name, None for what is unknown.
nanobind::dict ToDict(const MemorySnapshot& snapshot);
/// The member of the Python enum.
nanobind::object LevelOf(MemoryPressureLevel level);

}  // namespace floodwall::python

#pragma once

/// The probe of macOS.
///
/// Threading: stateless but for the host's port, which is taken once. Errors: in the Readings.
/// Units: bytes. Lifetime: keeps one port for the process.

#include <memory>

#include "floodwall/probe.h"

namespace floodwall {

std::shared_ptr<MemoryProbe> MakeDarwinProbe();

}  // namespace floodwall

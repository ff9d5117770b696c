#pragma once

/// The probe of Windows.
///
/// Threading: stateless. Errors: in the Readings, as system error codes. Units: bytes.
/// Lifetime: holds nothing.

#include <memory>

#include "floodwall/probe.h"

namespace floodwall {

std::shared_ptr<MemoryProbe> MakeWindowsProbe();

}  // namespace floodwall

#pragma once

/// Diagnose() on Linux, with a root before every path (empty: the real system).
///
/// Threading, Errors, Units, Lifetime: as Diagnose.

#include <string>

#include "floodwall/diagnosis.h"
#include "probe/kernel_calls.h"

namespace floodwall {

Diagnosis DiagnoseLinux(const std::string& root, KernelCalls* calls);

}  // namespace floodwall

#pragma once

/// Pressure stall information: the share of the last ten seconds in which tasks waited for memory.
///
/// Source: Documentation/accounting/psi.rst. "some avg10=12.34 ..." becomes 1234.
///
/// Threading: pure. Errors: absent readings. Units: hundredths of a percent. Lifetime: values.

#include <string_view>

#include "floodwall/probe.h"

namespace floodwall {

/// Reads both lines of `text` into `some` and `full`, naming `source`.
void ParsePressureStall(std::string_view text, std::string_view source, Reading* some,
                        Reading* full);

}  // namespace floodwall

#pragma once

/// Texts that live as long as the process, so that a Reading can name its source without owning
/// it.
///
/// Threading: locks. Errors: std::bad_alloc. Lifetime: never freed; a process names the few files
/// it reads.

#include <string>
#include <string_view>

namespace floodwall {

std::string_view SourceName(const std::string& name);

}  // namespace floodwall

#pragma once

/// Where the library's few log lines go: nowhere, until a program sets a sink.
///
/// Lines tell what no return value can: that a memory figure could not be read and is judged by
/// its last value. Each kind of failure is told once in a process.
///
/// Threading: every function from any thread; the sink is called on the thread that met the
/// failure, never with a lock held, and may be called by several threads at once.
/// Errors: what a sink throws is dropped. Units: none.
/// Lifetime: a sink is kept until another replaces it and its last call has returned.

#include <functional>
#include <string_view>

#include "floodwall/export.h"

namespace floodwall {

using LogSink = std::function<void(std::string_view line)>;

/// Sets where warnings go; an empty function drops them.
FLOODWALL_EXPORT void SetLogSink(LogSink sink);

}  // namespace floodwall

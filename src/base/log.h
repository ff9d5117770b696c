#pragma once

/// Where the library's few log lines go: to a sink that the host program installs.
///
/// The library never prints. Python installs a sink that forwards to `logging`.
/// Threading: Log may be called from any thread; SetLogSink once, at start-up.
/// The sink must not call back into floodwall.

#include <functional>
#include <string>

namespace floodwall {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, const std::string&)>;

/// Replaces the sink; an empty one drops every line.
void SetLogSink(LogSink sink);
void Log(LogLevel level, const std::string& message);

}  // namespace floodwall

#pragma once

/// One log line for each kind of failure: a source together with an errno.
///
/// Threading: from any thread; a kind that was told before costs a few loads. Errors: none.
/// Units: none. Lifetime: kinds are remembered as long as the process, the first 64 of them.

#include <string_view>

namespace floodwall {

/// Tells the sink "<source>: <what the errno means>; <consequence>", unless this kind was told
/// before. Does nothing for an error of 0.
void LogFailureOnce(std::string_view source, int error, std::string_view consequence);

}  // namespace floodwall

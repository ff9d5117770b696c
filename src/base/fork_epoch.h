#pragma once

/// A number that changes in the child of a fork, so that what a process kept (descriptors, cached
/// figures, a lock of a thread that is not there any more) can be told from its parent's.
///
/// Threading: an atomic load. Errors: none. Units: forks since the first process. Lifetime: static.

#include <cstdint>
#include <mutex>

namespace floodwall {

/// The number of forks between this process and the one that loaded the library.
uint64_t ForkEpoch();

/// A lock that is never left held by a thread that fork did not copy: fork waits for it.
std::mutex& ForkSafeMutex();

}  // namespace floodwall

#pragma once

/// The kernel's hints that memory moves, as descriptors to poll.
///
/// v2: inotify on memory.events of every level, heeded when a counter has risen above what it was
/// before. v1: an eventfd on the usage of each limited level, at 70, 90 and 97 % of its limit.
/// Pressure stalls: the service manager's $MEMORY_PRESSURE_WATCH (with $MEMORY_PRESSURE_WRITE,
/// base64), else a trigger on the cgroup's memory.pressure, else on /proc/pressure/memory. A
/// trigger's window is 2 s, of which unprivileged processes may have only multiples.
///
/// Threading, errors, units, lifetime: as MemoryEvents says.

#include <memory>
#include <string>

#include "probe/kernel_calls.h"
#include "probe/memory_events.h"

namespace floodwall {

struct LinuxEventOptions {
  std::string root = {};  ///< stands before every path; empty: the real system
  KernelCalls* calls = KernelCalls::Native();
  int64_t quiet_ns = 100'000'000;            ///< after a hint, no other for so long
  int64_t search_every_ns = 60'000'000'000;  ///< look whether the process was moved
  int64_t retry_ns = 1'000'000'000;          ///< after a source was lost
};

/// Null when not even a pipe can be opened.
std::unique_ptr<MemoryEvents> MakeLinuxMemoryEvents(const LinuxEventOptions& options = {});

}  // namespace floodwall

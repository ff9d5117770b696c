#pragma once

/// Where memory figures come from: the kernel's own files, each value with its source.
///
/// Threading: every method may be called from any thread; readings are values.
/// Errors: never thrown and never returned as 0. A reading that failed has value -1 and the errno
/// (on Windows the system error code) of the call that failed; a reading that does not exist on
/// this system has errno 0. Units: bytes, unless a name says otherwise. Lifetime: Native() is one
/// probe for the process, made at the first call and never destroyed: a hundred thousand monitors
/// hold the same few file descriptors. It survives fork.

#include <cstdint>
#include <memory>
#include <string_view>

#include "floodwall/export.h"

namespace floodwall {

/// One figure: a value and where it came from.
struct Reading {
  int64_t value = -1;
  int error = 0;
  /// File or call, such as "/proc/meminfo". Points to text that lives as long as the process.
  std::string_view source;

  bool known() const { return value >= 0; }
};

/// Everything a probe can say, read at one moment.
struct MemoryReadings {
  // This process.
  Reading rss;  ///< resident set
  /// Anonymous part: what no file backs. macOS: the footprint; Windows: private bytes, committed.
  Reading rss_anon;
  Reading rss_file;  ///< file-backed part, shared memory included
  Reading rss_peak;  ///< the greatest resident set so far (VmHWM)
  // The machine.
  Reading host_total;      ///< MemTotal
  Reading host_available;  ///< MemAvailable, or the kernel's own estimate rebuilt
  Reading swap_free;       ///< reported, never added to what is available
  // What the container allows.
  Reading limit;       ///< the least of host_total and every ancestor's hard limit
  Reading used;        ///< what counts against that limit and cannot be reclaimed
  Reading available;   ///< the least headroom of host and ancestors: what can still be allocated
  Reading soft_limit;  ///< the least memory.high (v2): passing it throttles, it does not kill
  Reading soft_available;  ///< headroom under memory.high
  Reading oom_kill_count;  ///< kills in this cgroup so far
  // Pressure stall information, share of time in hundredths of a percent: 1234 is 12.34 %.
  Reading psi_some_avg10;
  Reading psi_full_avg10;
  Reading kernel_pressure;  ///< macOS's own judgement: 1 normal, 2 warning, 4 critical
};

/// Reads the figures.
class FLOODWALL_EXPORT MemoryProbe {
 public:
  virtual ~MemoryProbe() = default;

  /// The probe of this operating system, shared by the whole process.
  static std::shared_ptr<MemoryProbe> Native();
  /// The figures of another process, and of the container it is in as far as this one can see it.
  /// Where the system has no such probe it is one without any source. Keeps a few bytes for each
  /// process that was ever asked for.
  static std::shared_ptr<MemoryProbe> OfProcess(int64_t pid);
  /// A probe without any source: every reading is absent.
  static std::shared_ptr<MemoryProbe> Null();

  /// False when no figure can be read at all, so that limits on them cannot be judged.
  virtual bool has_sources() const = 0;
  /// The resident set: one cheap read.
  virtual Reading ReadResident() = 0;
  /// What can still be allocated. With `exact` false a costly part may be left out as soon as the
  /// value surely is at least `enough_bytes`; the value is then a lower bound.
  virtual Reading ReadAvailable(int64_t enough_bytes, bool* exact) = 0;
  /// Everything, fresh.
  virtual MemoryReadings ReadAll() = 0;
};

}  // namespace floodwall

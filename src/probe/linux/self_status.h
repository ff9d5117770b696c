#pragma once

/// The resident set of a process: /proc/self/statm, /proc/self/status, getrusage.
///
/// Sources: proc(5), Documentation/filesystems/proc.rst. statm counts pages; its "shared" is what
/// files and shared memory back, so the rest is anonymous.
///
/// Threading: not safe, the owner locks. Errors: in the Reading. Units: bytes. Lifetime: owns
/// two descriptors.

#include <string>

#include "floodwall/probe.h"
#include "probe/kept_file.h"

namespace floodwall {

class SelfStatus {
 public:
  /// `root` stands before every path: empty for the real system. `process` is a directory of
  /// /proc.
  SelfStatus(KernelCalls* calls, const std::string& root, const std::string& process = "self");

  Reading ReadResident();
  /// Fills rss, rss_anon, rss_file and rss_peak.
  void ReadAll(MemoryReadings* out);

 private:
  bool ReadStatus(MemoryReadings* out);
  Reading ReadStatm(int64_t* shared_bytes);

  KernelCalls* calls_;
  bool is_own_;
  std::string_view statm_name_;
  std::string_view status_name_;
  KeptFile statm_;
  KeptFile status_;
  int64_t page_bytes_;
};

}  // namespace floodwall

#pragma once

/// One descriptor that becomes ready when the kernel, or a service manager, has a hint.
///
/// Threading: not safe, the sampler owns it. Errors: a source that cannot be opened is null; one
/// that fails later says kLost. Units: bytes. Lifetime: owns the descriptor.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "probe/kernel_calls.h"
#include "probe/linux/cgroup_location.h"

namespace floodwall {

class HintSource {
 public:
  enum class Found { kNothing, kHint, kLost };

  HintSource(int fd, short events, std::string name);
  virtual ~HintSource();
  HintSource(const HintSource&) = delete;
  HintSource& operator=(const HintSource&) = delete;

  int fd() const { return fd_; }
  short events() const { return events_; }
  const std::string& name() const { return name_; }
  /// False when somebody closed the descriptor, whose number may now be another file's: it is then
  /// neither read nor closed. (Kernel objects without a file of their own all look alike.)
  bool IsOurs() const;
  /// Takes what poll(2) reported.
  virtual Found Take(short revents) = 0;

 protected:
  int fd_;

 private:
  const short events_;
  const std::string name_;
  KernelCalls::FileId id_;
};

using HintSources = std::vector<std::unique_ptr<HintSource>>;

/// memory.events of v2 directories.
void AddCgroupEvents(const std::string& root, KernelCalls* calls, const CgroupLocation& location,
                     HintSources* out);
/// Usage thresholds of v1 directories.
void AddUsageThresholds(const std::string& root, const CgroupLocation& location, HintSources* out);
/// $MEMORY_PRESSURE_WATCH, or a trigger on the first of `pressure_files` that takes one.
void AddPressure(KernelCalls* calls, const std::vector<std::string>& pressure_files,
                 HintSources* out);

/// Nothing when `text` is not base64.
std::string DecodeBase64(std::string_view text);

}  // namespace floodwall

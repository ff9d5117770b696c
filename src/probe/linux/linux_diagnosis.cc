#include "probe/linux/linux_diagnosis.h"

#include <limits>

#include "probe/kept_file.h"
#include "probe/linux/cgroup_level.h"
#include "probe/linux/cgroup_location.h"
#include "probe/linux/cpu_quota_reader.h"
#include "probe/linux/linux_probe.h"
#include "probe/linux/memory_events.h"
#include "probe/linux/traced_calls.h"

namespace floodwall {
namespace {

void CheckLevels(const std::string& root, KernelCalls* calls, int64_t host_total, Diagnosis* out) {
  int error = 0;
  const std::string cgroup = ReadWholeFile(calls, root + "/proc/self/cgroup", &error);
  const std::string mounts = ReadWholeFile(calls, root + "/proc/self/mountinfo", &error);
  const CgroupLocation location = LocateCgroup(cgroup, mounts);
  if (location.version == CgroupVersion::kNone) return;
  const bool v1 = location.version == CgroupVersion::kV1;
  out->cgroup_version = v1 ? "v1" : "v2";
  out->confident = location.confident;
  out->has_hidden_ancestors = location.has_hidden_ancestors;
  for (const std::string& directory : location.directories) {
    const auto level = v1 ? MakeCgroupLevelV1(calls, root, directory, location.has_hidden_ancestors)
                          : MakeCgroupLevelV2(calls, root, directory);
    CgroupCheck check;
    check.directory = directory;
    bool gone = false;
    check.limit = level->ReadLimit(host_total, &gone);
    check.soft_limit = level->ReadSoftLimit(host_total);
    check.charged = level->ReadCharged();
    check.used = level->ReadUsed(check.charged);
    // As CgroupTree counts: without memory.stat all that is charged.
    if (!check.used.known()) check.used = check.charged;
    out->levels.push_back(std::move(check));
  }
}

}  // namespace

Diagnosis DiagnoseLinux(const std::string& root, KernelCalls* calls) {
  TracedCalls traced(calls, root);
  Diagnosis out;
  const auto probe = MakeLinuxProbe(root, &traced);
  probe->ReadResident();
  const MemoryReadings all = probe->ReadAll();
  const int64_t total =
      all.host_total.known() ? all.host_total.value : std::numeric_limits<int64_t>::max();
  CheckLevels(root, &traced, total, &out);
  if (const auto events = MakeLinuxMemoryEvents({.root = root, .calls = &traced})) {
    events->Wait(0);
    out.hints = events->Sources();
  }
  out.cpu_quota = ReadLinuxCpuQuota(root, &traced);
  out.sources = traced.sources();
  return out;
}

}  // namespace floodwall

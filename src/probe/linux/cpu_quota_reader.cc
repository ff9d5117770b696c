#include "probe/linux/cpu_quota_reader.h"

#include <array>

#include "probe/kept_file.h"
#include "probe/kernel_text.h"
#include "probe/linux/cgroup_location.h"

namespace floodwall {
namespace {

std::optional<int64_t> ReadNumber(KernelCalls* calls, const std::string& path) {
  std::array<char, 128> buffer;
  KeptFile file(calls, path);
  // "-1" and "max" are no numbers here, and no quota.
  return ParseNumber(file.Read(buffer).text);
}

std::optional<double> QuotaOf(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

/// "150000 100000" or "max 100000".
std::optional<double> ReadV2(KernelCalls* calls, const std::string& directory) {
  std::array<char, 128> buffer;
  KeptFile file(calls, directory + "/cpu.max");
  std::string_view text = file.Read(buffer).text;
  std::string_view line = NextLine(&text);
  const std::string_view quota = NextWord(&line);
  return QuotaOf(ParseNumber(quota), ParseNumber(NextWord(&line)));
}

std::optional<double> ReadV1(KernelCalls* calls, const std::string& directory) {
  return QuotaOf(ReadNumber(calls, directory + "/cpu.cfs_quota_us"),
                 ReadNumber(calls, directory + "/cpu.cfs_period_us"));
}

}  // namespace

std::optional<double> ReadLinuxCpuQuota(const std::string& root, KernelCalls* calls) {
  int error = 0;
  const std::string cgroup = ReadWholeFile(calls, root + "/proc/self/cgroup", &error);
  const std::string mounts = ReadWholeFile(calls, root + "/proc/self/mountinfo", &error);
  const CgroupLocation location = LocateCgroup(cgroup, mounts, "cpu");
  std::optional<double> least;
  for (const std::string& directory : location.directories) {
    const auto quota = location.version == CgroupVersion::kV1 ? ReadV1(calls, root + directory)
                                                              : ReadV2(calls, root + directory);
    if (quota && (!least || *quota < *least)) least = quota;
  }
  return least;
}

}  // namespace floodwall

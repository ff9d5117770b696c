#include "probe/cpu_quota.h"

#ifdef __linux__
#include "probe/linux/cpu_quota_reader.h"
#endif

namespace floodwall {

std::optional<double> ReadCpuQuota(const std::string& root, KernelCalls* calls) {
#ifdef __linux__
  return ReadLinuxCpuQuota(root, calls);
#else
  static_cast<void>(root);
  static_cast<void>(calls);
  return std::nullopt;
#endif
}

}  // namespace floodwall

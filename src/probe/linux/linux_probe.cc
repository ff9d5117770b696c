#include "probe/linux/linux_probe.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <new>

#include "base/fork_epoch.h"
#include "probe/kernel_text.h"
#include "probe/linux/cgroup_tree.h"
#include "probe/linux/host_memory.h"
#include "probe/linux/self_status.h"

namespace floodwall {
namespace {

constexpr int64_t kExact = std::numeric_limits<int64_t>::max();

class LinuxProbe final : public MemoryProbe {
 public:
  LinuxProbe(const std::string& root, KernelCalls* calls, const std::string& process)
      : calls_(calls),
        self_(calls, root, process),
        host_(calls, root),
        cgroups_(calls, root, process) {}

  bool has_sources() const override {
    const std::lock_guard guard(ForkSafeMutex());
    return self_.ReadResident().known() || host_.Read(false).available.known();
  }

  Reading ReadResident() override {
    const std::lock_guard guard(ForkSafeMutex());
    return self_.ReadResident();
  }

  Reading ReadAvailable(int64_t enough_bytes, bool* exact) override {
    const std::lock_guard guard(ForkSafeMutex());
    const HostMemory::Readings host = ReadHost(false);
    // Headroom beyond the host's own changes nothing, so that much is enough in any case.
    const int64_t enough =
        host.available.known() ? std::min(enough_bytes, host.available.value) : enough_bytes;
    const CgroupTree::Headroom cgroup = Limits(host, enough);
    const Reading least = Least(host.available, cgroup.available);
    *exact = cgroup.exact || (host.available.known() && least.value == host.available.value);
    return least;
  }

  MemoryReadings ReadAll() override {
    const std::lock_guard guard(ForkSafeMutex());
    MemoryReadings out;
    self_.ReadAll(&out);
    const HostMemory::Readings host = ReadHost(true);
    out.host_total = host.total;
    out.host_available = host_now_;
    out.swap_free = host.swap_free;
    const CgroupTree::Headroom cgroup = Limits(host, kExact);
    out.available = Least(host.available, cgroup.available);
    if (cgroup.limit.known()) {
      out.limit = cgroup.limit;
      out.used = cgroup.used;
    } else {
      out.limit = host.total;
      if (host.total.known() && host.available.known()) {
        out.used = {host.total.value - host.available.value, 0, host.available.source};
      }
    }
    cgroups_.ReadRest(Total(host), &out);
    return out;
  }

 private:
  static int64_t Total(const HostMemory::Readings& host) {
    return host.total.known() ? host.total.value : kExact;
  }

  /// The host's figures; where they cannot be read now, the last ones count against the limits:
  /// a failed read must not make memory look free. host_now_ is what was read just now.
  HostMemory::Readings ReadHost(bool all) {
    HostMemory::Readings host = host_.Read(all);
    host_now_ = host.available;
    for (const auto& [now, last] :
         {std::pair{&host.total, &last_total_}, std::pair{&host.available, &last_available_}}) {
      if (now->known()) {
        *last = *now;
      } else if (last->known()) {
        *now = {last->value, now->error, last->source};
      }
    }
    return host;
  }

  static Reading Least(const Reading& host, const Reading& cgroup) {
    if (!cgroup.known()) return host;
    if (!host.known()) return cgroup;
    return cgroup.value < host.value ? cgroup : host;
  }

  CgroupTree::Headroom Limits(const HostMemory::Readings& host, int64_t enough) {
    CgroupTree::Headroom out;
    try {
      out = cgroups_.Read(Total(host), enough);
    } catch (const std::bad_alloc&) {
      out.limit.error = ENOMEM;  // discovery allocates; a monitor must not be what fails
    }
    if (!out.limit.known()) Hint(Total(host), &out);
    return out;
  }

  /// Limits that a platform announces where its cgroup cannot be read.
  void Hint(int64_t host_total, CgroupTree::Headroom* out) {
    for (const auto& [name, source] :
         {std::pair{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE"},
          std::pair{"SLURM_MEM_PER_NODE", "$SLURM_MEM_PER_NODE"}}) {
      const char* text = calls_->Environment(name);
      const auto mib = ParseNumber(text == nullptr ? "" : text);
      if (!mib || *mib == 0 || *mib > (host_total >> 20)) continue;
      Reading rss = self_.ReadResident();
      if (rss.known()) {
        last_rss_ = rss.value;
      } else {
        rss.value = last_rss_;
      }
      out->limit = {*mib << 20, 0, source};
      // Only this process can be seen; the platform runs little beside it.
      out->used = rss;
      if (rss.known()) {
        out->available = {std::max<int64_t>(0, out->limit.value - rss.value), rss.error, source};
      }
      return;
    }
  }

  KernelCalls* calls_;
  mutable SelfStatus self_;
  mutable HostMemory host_;
  Reading host_now_, last_total_, last_available_;
  int64_t last_rss_ = -1;
  CgroupTree cgroups_;
};

}  // namespace

std::shared_ptr<MemoryProbe> MakeLinuxProbe(const std::string& root, KernelCalls* calls,
                                            const std::string& process) {
  return std::make_shared<LinuxProbe>(root, calls, process);
}

}  // namespace floodwall

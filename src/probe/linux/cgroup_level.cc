#include "probe/linux/cgroup_level.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "probe/kernel_text.h"
#include "probe/source_name.h"

namespace floodwall {
namespace {

// memory.stat has 1.5 to 3 KB today; kernels grow it at the end.
using StatBuffer = std::array<char, 8192>;

// The v1 sentinel is near 2^63; this counts where the machine's total is not known.
constexpr int64_t kNoMachineHas = int64_t{1} << 60;

bool IsGone(int error) { return error == ENOENT || error == ENODEV || error == ENOTDIR; }

int64_t Known(int64_t value) { return std::max<int64_t>(value, 0); }

class LevelV1 final : public CgroupLevel {
 public:
  LevelV1(KernelCalls* calls, const std::string& root, const std::string& directory,
          bool hidden_ancestors)
      : limit_(calls, root, directory + "/memory.limit_in_bytes"),
        usage_(calls, root, directory + "/memory.usage_in_bytes"),
        kernel_(calls, root, directory + "/memory.kmem.usage_in_bytes"),
        stat_(calls, root, directory + "/memory.stat"),
        oom_(calls, root, directory + "/memory.oom_control"),
        hidden_ancestors_(hidden_ancestors) {}

  Reading ReadLimit(int64_t host_total, bool* gone) override {
    Reading limit = limit_.ReadLimit(host_total);
    *gone = limit_.was_read && IsGone(limit.error);
    if (!hidden_ancestors_) return limit;
    StatBuffer buffer;
    int64_t hierarchical = last_hierarchical_;  // binds while memory.stat cannot be read
    FindNumbers(stat_.file.Read(buffer).text, {{"hierarchical_memory_limit", &hierarchical}});
    last_hierarchical_ = hierarchical;
    if (hierarchical >= 0 && hierarchical <= host_total && hierarchical < kNoMachineHas &&
        (!limit.known() || hierarchical < limit.value)) {
      limit = {hierarchical, 0, stat_.source};
    }
    return limit;
  }

  // memory.soft_limit_in_bytes only steers reclaim: nothing happens to a process above it.
  Reading ReadSoftLimit(int64_t) override { return {}; }
  Reading ReadCharged() override { return usage_.ReadNumber(); }

  Reading ReadUsed(const Reading& charged) override {
    StatBuffer buffer;
    const KeptFile::Text read = stat_.file.Read(buffer);
    if (read.error != 0) return {-1, read.error, stat_.source};
    int64_t active_anon = -1, inactive_anon = -1, unevictable = 0, active_file = 0,
            inactive_file = 0;
    // The total_ figures include the children, as the usage does.
    FindNumbers(read.text, {{"total_inactive_anon", &inactive_anon},
                            {"total_active_anon", &active_anon},
                            {"total_inactive_file", &inactive_file},
                            {"total_active_file", &active_file},
                            {"total_unevictable", &unevictable}});
    if (active_anon < 0 && inactive_anon < 0) return {-1, EPROTO, stat_.source};
    const Reading kernel = kernel_.ReadNumber();
    if (kernel.known()) last_kernel_ = kernel.value;
    int64_t used = SaturatingAdd(Known(active_anon), Known(inactive_anon));
    used = SaturatingAdd(used, SaturatingAdd(unevictable, last_kernel_));
    if (charged.known()) {
      used = std::max(used, charged.value - SaturatingAdd(active_file, inactive_file));
      used = std::min(used, charged.value);
    }
    return {used, 0, stat_.source};
  }

  Reading ReadOomKills() override {
    std::array<char, 256> buffer;
    const KeptFile::Text read = oom_.file.Read(buffer);
    int64_t kills = -1;  // since Linux 4.13
    FindNumbers(read.text, {{"oom_kill", &kills}});
    return {kills, read.error, oom_.source};
  }

 private:
  CgroupFile limit_, usage_, kernel_, stat_, oom_;
  bool hidden_ancestors_;
  int64_t last_hierarchical_ = -1;
  int64_t last_kernel_ = 0;
};

class LevelV2 final : public CgroupLevel {
 public:
  LevelV2(KernelCalls* calls, const std::string& root, const std::string& directory)
      : max_(calls, root, directory + "/memory.max"),
        high_(calls, root, directory + "/memory.high"),
        current_(calls, root, directory + "/memory.current"),
        stat_(calls, root, directory + "/memory.stat"),
        events_(calls, root, directory + "/memory.events") {}

  Reading ReadLimit(int64_t host_total, bool* gone) override {
    const Reading limit = max_.ReadLimit(host_total);
    *gone = max_.was_read && IsGone(limit.error);
    return limit;
  }
  Reading ReadSoftLimit(int64_t host_total) override { return high_.ReadLimit(host_total); }
  Reading ReadCharged() override { return current_.ReadNumber(); }

  Reading ReadUsed(const Reading& charged) override {
    StatBuffer buffer;
    const KeptFile::Text read = stat_.file.Read(buffer);
    if (read.error != 0) return {-1, read.error, stat_.source};
    int64_t active_anon = -1, inactive_anon = -1, unevictable = 0, kernel = 0;
    int64_t active_file = 0, inactive_file = 0, slab_reclaimable = 0;
    FindNumbers(read.text, {{"kernel", &kernel},  // since Linux 5.18; before, the charge says it
                            {"inactive_anon", &inactive_anon},
                            {"active_anon", &active_anon},
                            {"inactive_file", &inactive_file},
                            {"active_file", &active_file},
                            {"unevictable", &unevictable},
                            {"slab_reclaimable", &slab_reclaimable}});
    if (active_anon < 0 && inactive_anon < 0) return {-1, EPROTO, stat_.source};
    int64_t used = SaturatingAdd(Known(active_anon), Known(inactive_anon));
    used = SaturatingAdd(
        used, SaturatingAdd(unevictable, std::max<int64_t>(0, kernel - slab_reclaimable)));
    if (charged.known()) {
      const int64_t reclaimable =
          SaturatingAdd(SaturatingAdd(active_file, inactive_file), slab_reclaimable);
      used = std::max(used, charged.value - reclaimable);
      used = std::min(used, charged.value);
    }
    return {used, 0, stat_.source};
  }

  Reading ReadOomKills() override {
    std::array<char, 512> buffer;
    const KeptFile::Text read = events_.file.Read(buffer);
    int64_t kills = -1;
    FindNumbers(read.text, {{"oom_kill", &kills}});
    return {kills, read.error, events_.source};
  }

 private:
  CgroupFile max_, high_, current_, stat_, events_;
};

}  // namespace

CgroupFile::CgroupFile(KernelCalls* calls, const std::string& root, const std::string& path)
    : file(calls, root + path), source(SourceName(path)) {}

Reading CgroupFile::ReadNumber() {
  std::array<char, 64> buffer;
  const KeptFile::Text read = file.Read(buffer);
  if (read.error != 0) return {-1, read.error, source};
  const auto number = ParseNumber(read.text);
  return number ? Reading{*number, 0, source} : Reading{-1, EPROTO, source};
}

Reading CgroupFile::ReadLimit(int64_t most) {
  std::array<char, 64> buffer;
  const KeptFile::Text read = file.Read(buffer);
  if (read.error != 0) return {-1, read.error, source};
  was_read = true;
  const auto number = ParseNumber(read.text);
  if (!number || *number > most || *number >= kNoMachineHas) return {-1, 0, source};
  return {*number, 0, source};
}

std::unique_ptr<CgroupLevel> MakeCgroupLevelV1(KernelCalls* calls, const std::string& root,
                                               const std::string& directory,
                                               bool hidden_ancestors) {
  return std::make_unique<LevelV1>(calls, root, directory, hidden_ancestors);
}

std::unique_ptr<CgroupLevel> MakeCgroupLevelV2(KernelCalls* calls, const std::string& root,
                                               const std::string& directory) {
  return std::make_unique<LevelV2>(calls, root, directory);
}

}  // namespace floodwall

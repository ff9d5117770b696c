#include "probe/linux/cgroup_tree.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "base/coarse_clock.h"
#include "probe/linux/pressure_stall.h"

namespace floodwall {
namespace {

constexpr int64_t kFollowEveryNs = 1'000'000'000;
constexpr int64_t kSearchEveryNs = 60 * kFollowEveryNs;
constexpr std::string_view kHostPressure = "/proc/pressure/memory";

}  // namespace

CgroupTree::CgroupTree(KernelCalls* calls, std::string root, const std::string& process)
    : calls_(calls),
      root_(std::move(root)),
      cgroup_(calls, root_ + "/proc/" + process + "/cgroup"),
      host_pressure_(calls, root_ + std::string(kHostPressure)) {}

void CgroupTree::Follow() {
  const int64_t now = CoarseNow();
  if (discovered_ && now - followed_ns_ < kFollowEveryNs) return;
  followed_ns_ = now;
  std::array<char, 8192> buffer;
  const KeptFile::Text read = cgroup_.Read(buffer);
  if (read.error != 0) {
    // What was found before is still the best that is known.
    error_ = read.error;
    discovered_ = true;
    return;
  }
  // Where there is no memory controller, one that is mounted later is found within a minute.
  if (discovered_ && read.text == cgroup_text_ &&
      (!levels_.empty() || now - searched_ns_ < kSearchEveryNs)) {
    return;
  }
  searched_ns_ = now;
  Discover(read.text);
}

void CgroupTree::Discover(std::string_view cgroup) {
  int mount_error = 0;
  const std::string mountinfo = ReadWholeFile(calls_, root_ + "/proc/self/mountinfo", &mount_error);
  discovered_ = true;
  error_ = mount_error;
  if (mount_error != 0 && !levels_.empty()) return;
  CgroupLocation location = LocateCgroup(cgroup, mountinfo);
  cgroup_text_ = cgroup;
  if (location.pressure_directory != location_.pressure_directory) {
    pressure_.reset();
    if (!location.pressure_directory.empty()) {
      pressure_ = std::make_unique<CgroupFile>(calls_, root_,
                                               location.pressure_directory + "/memory.pressure");
    }
  }
  // The same place again keeps its descriptors and what was read last.
  if (location.version != location_.version || location.directories != location_.directories) {
    std::vector<Level> levels;
    const bool v1 = location.version == CgroupVersion::kV1;
    for (const std::string& directory : location.directories) {
      auto files = v1 ? MakeCgroupLevelV1(calls_, root_, directory, location.has_hidden_ancestors)
                      : MakeCgroupLevelV2(calls_, root_, directory);
      levels.push_back(
          {.directory = directory, .files = std::move(files), .last_limit = {}, .last_used = {}});
    }
    if (v1) levels.back().can_have_limit = !IsRootOfV1(location, levels.back());
    levels_ = std::move(levels);
  }
  location_ = std::move(location);
}

/// The kernel refuses a limit on the root of a v1 hierarchy, so its file need not be read again and
/// again. Only the root has a release_agent; an emulation that shows a limit there is believed.
bool CgroupTree::IsRootOfV1(const CgroupLocation& location, const Level& level) {
  if (location.has_hidden_ancestors) return false;
  const int fd = calls_->Open((root_ + level.directory + "/release_agent").c_str());
  if (fd < 0) return false;
  calls_->Close(fd);
  bool gone = false;
  const Reading limit = level.files->ReadLimit(std::numeric_limits<int64_t>::max(), &gone);
  return !limit.known() && limit.error == 0;
}

bool CgroupTree::Exists(const std::string& directory) {
  const int fd = calls_->Open((root_ + directory).c_str());
  if (fd >= 0) calls_->Close(fd);
  return fd >= 0 || errno != ENOENT;
}

Reading CgroupTree::LimitOf(Level* level, int64_t host_total, bool* gone) {
  const Reading limit = level->files->ReadLimit(host_total, gone);
  if (limit.known() || limit.error == 0) return level->last_limit = limit;
  // A directory that stays without the file: memory is not controlled there any more.
  if (!level->last_limit.known() || (*gone && Exists(level->directory))) {
    level->last_limit = {};
    return limit;
  }
  return {level->last_limit.value, limit.error, level->last_limit.source};
}

void CgroupTree::ReadLevel(Level* level, int64_t host_total, int64_t enough, Headroom* out,
                           Least* least, bool* gone) {
  if (!level->can_have_limit) return;
  const Reading limit = LimitOf(level, host_total, gone);
  if (!limit.known()) {
    // Levels without the memory controller, and the root of v2, have no such file: no error.
    if (limit.error != 0 && limit.error != ENOENT && !out->limit.known()) out->limit = limit;
    return;
  }
  const Reading charged = level->files->ReadCharged();
  Reading used = charged;
  bool exact = true;
  if (!charged.known() || limit.value - charged.value < enough) {
    const Reading counted = level->files->ReadUsed(charged);
    // Without memory.stat all that is charged counts: too much, never too little.
    if (counted.known()) used = counted;
  } else {
    exact = false;
  }
  if (charged.known()) {
    level->last_used = used;
  } else if (used.value < level->last_used.value) {
    // Unknown, or only what memory.stat itemises: not less than was used when both could be read.
    used = {level->last_used.value, charged.error, level->last_used.source};
  }
  if (!out->limit.known() || limit.value < out->limit.value) {
    out->limit = limit;
    out->used = used;
  }
  // A limit of whose use nothing was ever known is at least not passed by an allocation above it.
  const int64_t headroom = std::max<int64_t>(0, limit.value - std::max<int64_t>(0, used.value));
  Reading& lowest = exact ? least->exact : least->bound;
  if (!lowest.known() || headroom < lowest.value) lowest = {headroom, used.error, limit.source};
}

CgroupTree::Headroom CgroupTree::Read(int64_t host_total, int64_t enough) {
  for (int attempt = 0;; ++attempt) {
    Follow();
    Headroom out;
    Least least;
    bool any_gone = false;
    for (Level& level : levels_) {
      bool gone = false;
      ReadLevel(&level, host_total, enough, &out, &least, &gone);
      any_gone |= gone;
    }
    if (!any_gone || attempt > 0) {
      out.exact =
          !least.bound.known() || (least.exact.known() && least.exact.value <= least.bound.value);
      out.available = out.exact ? least.exact : least.bound;
      if (levels_.empty() && out.limit.error == 0) out.limit.error = error_;
      return out;
    }
    // The process was moved and its old cgroup removed: look again now, once.
    followed_ns_ = 0;
    cgroup_text_.clear();
  }
}

void CgroupTree::ReadRest(int64_t host_total, MemoryReadings* out) {
  for (const Level& level : levels_) {
    const Reading soft = level.files->ReadSoftLimit(host_total);
    if (!soft.known()) continue;
    const Reading used = level.files->ReadUsed(level.files->ReadCharged());
    if (!out->soft_limit.known() || soft.value < out->soft_limit.value) out->soft_limit = soft;
    if (!used.known()) continue;
    const int64_t headroom = std::max<int64_t>(0, soft.value - used.value);
    if (!out->soft_available.known() || headroom < out->soft_available.value) {
      out->soft_available = {headroom, 0, soft.source};
    }
  }
  if (!levels_.empty()) out->oom_kill_count = levels_.front().files->ReadOomKills();
  std::array<char, 512> buffer;
  if (pressure_ != nullptr) {
    const KeptFile::Text read = pressure_->file.Read(buffer);
    ParsePressureStall(read.text, pressure_->source, &out->psi_some_avg10, &out->psi_full_avg10);
  }
  if (!out->psi_some_avg10.known()) {
    const KeptFile::Text read = host_pressure_.Read(buffer);
    out->psi_some_avg10 = out->psi_full_avg10 = {-1, read.error, kHostPressure};
    ParsePressureStall(read.text, kHostPressure, &out->psi_some_avg10, &out->psi_full_avg10);
  }
}

}  // namespace floodwall

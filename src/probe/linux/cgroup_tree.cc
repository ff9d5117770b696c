#include "probe/linux/cgroup_tree.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/coarse_clock.h"
#include "probe/linux/pressure_stall.h"

namespace floodwall {
namespace {

constexpr int64_t kFollowEveryNs = 1'000'000'000;
constexpr std::string_view kHostPressure = "/proc/pressure/memory";

/// mountinfo of a host with many containers is far larger than a buffer on the stack.
std::string ReadWhole(KernelCalls* calls, const std::string& path, int* error) {
  KeptFile file(calls, path, KeptFile::Content::kListing);
  std::vector<char> buffer;
  for (size_t size = size_t{64} << 10;; size *= 4) {
    buffer.resize(size);
    const KeptFile::Text read = file.Read(buffer);
    *error = read.error;
    // A text that filled the buffer was cut after a line, so nearly full means perhaps cut.
    if (read.error != 0 || read.text.size() + 4096 < size || size > (size_t{64} << 20)) {
      return std::string(read.text);
    }
  }
}

}  // namespace

CgroupTree::CgroupTree(KernelCalls* calls, std::string root)
    : calls_(calls),
      root_(std::move(root)),
      cgroup_(calls, root_ + "/proc/self/cgroup"),
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
  if (discovered_ && read.text == cgroup_text_ && !levels_.empty()) return;
  Discover(read.text);
}

void CgroupTree::Discover(std::string_view cgroup) {
  int mount_error = 0;
  const std::string mountinfo = ReadWhole(calls_, root_ + "/proc/self/mountinfo", &mount_error);
  discovered_ = true;
  error_ = mount_error;
  if (mount_error != 0 && !levels_.empty()) return;
  CgroupLocation location = LocateCgroup(cgroup, mountinfo);
  std::vector<std::unique_ptr<CgroupLevel>> levels;
  const bool v1 = location.version == CgroupVersion::kV1;
  for (const std::string& directory : location.directories) {
    levels.push_back(v1 ? MakeCgroupLevelV1(calls_, root_, directory, location.has_hidden_ancestors)
                        : MakeCgroupLevelV2(calls_, root_, directory));
  }
  pressure_.reset();
  if (!location.pressure_directory.empty()) {
    pressure_ = std::make_unique<CgroupFile>(calls_, root_,
                                             location.pressure_directory + "/memory.pressure");
  }
  levels_ = std::move(levels);
  location_ = std::move(location);
  cgroup_text_ = cgroup;
}

void CgroupTree::ReadLevel(CgroupLevel* level, int64_t host_total, int64_t enough, Headroom* out,
                           bool* gone) {
  const Reading limit = level->ReadLimit(host_total, gone);
  if (!limit.known()) {
    // Levels without the memory controller, and the root of v2, have no such file: no error.
    if (limit.error != 0 && limit.error != ENOENT) out->limit.error = limit.error;
    return;
  }
  const Reading charged = level->ReadCharged();
  Reading used = charged;
  if (!charged.known() || limit.value - charged.value < enough) {
    const Reading counted = level->ReadUsed(charged);
    // Without memory.stat all that is charged counts: too much, never too little.
    if (counted.known()) used = counted;
  } else {
    out->exact = false;
  }
  if (!out->limit.known() || limit.value < out->limit.value) {
    out->limit = limit;
    out->used = used;
  }
  if (!used.known()) return;
  const int64_t headroom = std::max<int64_t>(0, limit.value - used.value);
  if (!out->available.known() || headroom < out->available.value) {
    out->available = {headroom, 0, limit.source};
  }
}

CgroupTree::Headroom CgroupTree::Read(int64_t host_total, int64_t enough) {
  for (int attempt = 0;; ++attempt) {
    Follow();
    Headroom out;
    bool any_gone = false;
    for (const auto& level : levels_) {
      bool gone = false;
      ReadLevel(level.get(), host_total, enough, &out, &gone);
      any_gone |= gone;
    }
    if (!any_gone || attempt > 0) {
      if (levels_.empty() && out.limit.error == 0) out.limit.error = error_;
      return out;
    }
    // The process was moved and its old cgroup removed: look again now, once.
    followed_ns_ = 0;
    cgroup_text_.clear();
  }
}

void CgroupTree::ReadRest(int64_t host_total, MemoryReadings* out) {
  for (const auto& level : levels_) {
    const Reading soft = level->ReadSoftLimit(host_total);
    if (!soft.known()) continue;
    const Reading used = level->ReadUsed(level->ReadCharged());
    if (!out->soft_limit.known() || soft.value < out->soft_limit.value) out->soft_limit = soft;
    if (!used.known()) continue;
    const int64_t headroom = std::max<int64_t>(0, soft.value - used.value);
    if (!out->soft_available.known() || headroom < out->soft_available.value) {
      out->soft_available = {headroom, 0, soft.source};
    }
  }
  if (!levels_.empty()) out->oom_kill_count = levels_.front()->ReadOomKills();
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

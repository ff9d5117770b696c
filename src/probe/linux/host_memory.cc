#include "probe/linux/host_memory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>

#include "probe/kernel_text.h"

namespace floodwall {
namespace {

constexpr std::string_view kMeminfo = "/proc/meminfo";
constexpr size_t kZoneinfoBytes = size_t{256} << 10;
constexpr int64_t kMostPages = int64_t{1} << 40;

}  // namespace

HostMemory::HostMemory(KernelCalls* calls, const std::string& root)
    : calls_(calls),
      meminfo_(calls, root + "/proc/meminfo"),
      zoneinfo_(calls, root + "/proc/zoneinfo", KeptFile::Content::kListing) {}

HostMemory::Readings HostMemory::Read(bool all) {
  std::array<char, 8192> buffer;
  const KeptFile::Text read = meminfo_.Read(buffer);
  if (read.error != 0) return FromSystemInfo(read.error);
  int64_t total = -1, available = -1, swap_free = -1;
  if (all) {
    FindNumbers(read.text,
                {{"MemTotal", &total}, {"MemAvailable", &available}, {"SwapFree", &swap_free}});
  } else {
    FindNumbers(read.text, {{"MemTotal", &total}, {"MemAvailable", &available}});
  }
  if (total <= 0) return FromSystemInfo(EPROTO);
  if (available <= 0) available = Estimate(read.text);
  Readings out;
  out.total = {total, 0, kMeminfo};
  out.available = {available < 0 ? -1 : std::min(available, total), available < 0 ? EPROTO : 0,
                   kMeminfo};
  out.swap_free = {swap_free, swap_free < 0 && all ? EPROTO : 0, kMeminfo};
  return out;
}

int64_t HostMemory::Estimate(std::string_view meminfo) {
  int64_t free = -1, active = -1, inactive = -1, slab = 0, cached = 0;
  FindNumbers(meminfo, {{"MemFree", &free},
                        {"Active(file)", &active},
                        {"Inactive(file)", &inactive},
                        {"SReclaimable", &slab},
                        {"Cached", &cached}});
  if (free < 0) return -1;
  const int64_t cache = active < 0 || inactive < 0 ? cached : SaturatingAdd(active, inactive);
  // Large machines list many zones; a text cut short would count too low a watermark.
  std::optional<int64_t> low;
  std::unique_ptr<char[]> buffer(new (std::nothrow) char[kZoneinfoBytes]);
  if (buffer != nullptr) {
    std::string_view text = zoneinfo_.Read({buffer.get(), kZoneinfoBytes}).text;
    while (!text.empty()) {
      std::string_view line = NextLine(&text);
      if (NextWord(&line) != "low") continue;
      if (const auto pages = ParseNumber(line)) {
        low =
            SaturatingAdd(low.value_or(0), std::min(*pages, kMostPages) * ::sysconf(_SC_PAGESIZE));
      }
    }
  }
  const auto reclaimable = [&](int64_t bytes) {
    return bytes - std::min(bytes / 2, low.value_or(bytes / 2));
  };
  const int64_t unreserved = std::max<int64_t>(0, free - low.value_or(0));
  return SaturatingAdd(SaturatingAdd(unreserved, reclaimable(cache)), reclaimable(slab));
}

HostMemory::Readings HostMemory::FromSystemInfo(int meminfo_error) {
  constexpr std::string_view source = "sysinfo";
  Readings out;
  int64_t total = 0, free = 0, swap_free = 0;
  if (calls_->SystemInfo(&total, &free, &swap_free) == 0 && total > 0) {
    // Cache is not in sysinfo: this is less than what could be allocated, never more.
    out.total = {total, 0, source};
    out.available = {std::min(free, total), 0, source};
    out.swap_free = {swap_free, 0, source};
  } else {
    out.total = out.available = out.swap_free = {-1, meminfo_error, kMeminfo};
  }
  return out;
}

}  // namespace floodwall

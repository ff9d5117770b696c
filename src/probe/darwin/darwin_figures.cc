#include "probe/darwin/darwin_figures.h"

#include <algorithm>
#include <cerrno>

namespace floodwall {
namespace {

constexpr std::string_view kTask = "task_info(TASK_VM_INFO)";
constexpr std::string_view kHost = "host_statistics64(HOST_VM_INFO64)";
constexpr std::string_view kTotal = "sysctl hw.memsize";

Reading Of(int64_t value, int error, std::string_view source) {
  return {value, value < 0 ? error : 0, source};
}

Reading Available(const DarwinFigures& figures) {
  if (figures.anonymous_pages < 0 || figures.page_bytes <= 0) {
    return {-1, figures.host_error == 0 ? ENODATA : figures.host_error, kHost};
  }
  if (figures.total < 0) return {-1, figures.total_error, kTotal};
  const int64_t held =
      std::max<int64_t>(0,
                        figures.anonymous_pages - std::max<int64_t>(0, figures.purgeable_pages)) +
      std::max<int64_t>(0, figures.wired_pages) + std::max<int64_t>(0, figures.compressor_pages);
  return {std::clamp<int64_t>(figures.total - held * figures.page_bytes, 0, figures.total), 0,
          kHost};
}

}  // namespace

MemoryReadings ReadingsOf(const DarwinFigures& figures) {
  MemoryReadings out;
  out.rss = Of(figures.resident, figures.task_error, kTask);
  out.rss_anon = Of(figures.footprint, figures.task_error, kTask);
  out.rss_file = Of(figures.file_backed, figures.task_error, kTask);
  out.rss_peak = Of(figures.resident_peak, figures.task_error, kTask);
  out.host_total = Of(figures.total, figures.total_error, kTotal);
  out.host_available = Available(figures);
  out.swap_free = {figures.swap_free, 0, "sysctl vm.swapusage"};
  out.limit = out.host_total;
  out.available = out.host_available;
  if (out.available.known()) out.used = {figures.total - out.available.value, 0, kHost};
  out.kernel_pressure = {figures.pressure_level, 0, "sysctl kern.memorystatus_vm_pressure_level"};
  return out;
}

}  // namespace floodwall

#include "probe/windows/windows_figures.h"

#include <algorithm>

namespace floodwall {
namespace {

Reading ReadingOf(int64_t value, int error, std::string_view source) {
  return {value, value < 0 ? error : 0, source};
}

/// Keeps the tighter of two limits and, apart from it, the smaller headroom.
void Bound(int64_t limit, int64_t used, std::string_view source, MemoryReadings* out) {
  if (limit < 0) return;
  if (!out->limit.known() || limit < out->limit.value) {
    out->limit = {limit, 0, source};
    out->used = {used, 0, source};
  }
  if (used < 0) return;
  const int64_t headroom = std::max<int64_t>(0, limit - used);
  if (!out->available.known() || headroom < out->available.value) {
    out->available = {headroom, 0, source};
  }
}

}  // namespace

MemoryReadings ReadingsOf(const WindowsFigures& figures) {
  MemoryReadings out;
  out.rss = ReadingOf(figures.working_set, figures.process_error, kWindowsProcess);
  out.rss_anon = ReadingOf(figures.private_bytes, figures.process_error, kWindowsProcess);
  out.rss_peak = ReadingOf(figures.peak_working_set, figures.process_error, kWindowsProcess);
  out.host_total = ReadingOf(figures.total_physical, figures.machine_error, kWindowsMachine);
  out.host_available =
      ReadingOf(figures.available_physical, figures.machine_error, kWindowsMachine);
  if (out.host_available.known() && figures.available_commit >= 0) {
    out.host_available.value = std::min(out.host_available.value, figures.available_commit);
  }
  out.limit = out.host_total;
  out.available = out.host_available;
  if (out.host_total.known() && out.host_available.known()) {
    out.used = {std::max<int64_t>(0, out.host_total.value - figures.available_physical), 0,
                kWindowsMachine};
  }
  // Alone in its job the process is all of the job's use; otherwise only the job's peak is told,
  // which is not less than the use.
  const int64_t job_used = figures.processes_in_job <= 1 && figures.private_bytes >= 0
                               ? figures.private_bytes
                               : figures.peak_job_memory;
  Bound(figures.job_limit, job_used, kWindowsJob, &out);
  Bound(figures.process_limit, figures.private_bytes, kWindowsJob, &out);
  Bound(figures.working_set_limit, figures.working_set, kWindowsJob, &out);
  return out;
}

}  // namespace floodwall

#include "probe/darwin/darwin_probe.h"

#include <mach/mach.h>
#include <mach/mach_host.h>
#include <mach/task_info.h>
#include <sys/sysctl.h>

#include <cerrno>
#include <cstddef>

#include "probe/darwin/darwin_figures.h"

namespace floodwall {
namespace {

template <typename T>
int Sysctl(const char* name, T* value) {
  size_t size = sizeof *value;
  return ::sysctlbyname(name, value, &size, nullptr, 0) == 0 ? 0 : errno;
}

/// Mach's codes are no errnos; which call failed says the source.
int ErrorOf(kern_return_t code) { return code == KERN_SUCCESS ? 0 : EIO; }

/// True when the kernel filled the structure as far as this field: older ones have shorter ones.
template <typename Field>
bool Has(mach_msg_type_number_t count, size_t offset) {
  return count * sizeof(natural_t) >= offset + sizeof(Field);
}

void ReadTask(DarwinFigures* out) {
  task_vm_info_data_t info{};
  mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
  const kern_return_t code =
      ::task_info(::mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&info), &count);
  out->task_error = ErrorOf(code);
  if (code != KERN_SUCCESS) return;
  out->resident = static_cast<int64_t>(info.resident_size);
  out->resident_peak = static_cast<int64_t>(info.resident_size_peak);
  out->file_backed = static_cast<int64_t>(info.external);
  if (Has<mach_vm_size_t>(count, offsetof(task_vm_info_data_t, phys_footprint))) {
    out->footprint = static_cast<int64_t>(info.phys_footprint);
  }
}

void ReadHost(DarwinFigures* out) {
  // Every call of mach_host_self takes a reference: one is enough for the process.
  static const mach_port_t host = ::mach_host_self();
  vm_statistics64_data_t statistics{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  kern_return_t code = ::host_statistics64(host, HOST_VM_INFO64,
                                           reinterpret_cast<host_info64_t>(&statistics), &count);
  vm_size_t page = 0;
  if (code == KERN_SUCCESS) code = ::host_page_size(host, &page);
  out->host_error = ErrorOf(code);
  if (code == KERN_SUCCESS) {
    out->page_bytes = static_cast<int64_t>(page);
    out->anonymous_pages = statistics.internal_page_count;
    out->purgeable_pages = statistics.purgeable_count;
    out->wired_pages = statistics.wire_count;
    out->compressor_pages = statistics.compressor_page_count;
  }
  uint64_t total = 0;
  out->total_error = Sysctl("hw.memsize", &total);
  if (out->total_error == 0) out->total = static_cast<int64_t>(total);
}

class DarwinProbe final : public MemoryProbe {
 public:
  bool has_sources() const override {
    DarwinFigures figures;
    ReadTask(&figures);
    return figures.resident >= 0;
  }
  Reading ReadResident() override {
    DarwinFigures figures;
    ReadTask(&figures);
    return ReadingsOf(figures).rss;
  }
  Reading ReadAvailable(int64_t, bool* exact) override {
    *exact = true;
    DarwinFigures figures;
    ReadHost(&figures);
    return ReadingsOf(figures).available;
  }
  MemoryReadings ReadAll() override {
    DarwinFigures figures;
    ReadTask(&figures);
    ReadHost(&figures);
    xsw_usage swap{};
    if (Sysctl("vm.swapusage", &swap) == 0)
      figures.swap_free = static_cast<int64_t>(swap.xsu_avail);
    int level = 0;
    if (Sysctl("kern.memorystatus_vm_pressure_level", &level) == 0) figures.pressure_level = level;
    return ReadingsOf(figures);
  }
};

}  // namespace

std::shared_ptr<MemoryProbe> MakeDarwinProbe() { return std::make_shared<DarwinProbe>(); }

}  // namespace floodwall

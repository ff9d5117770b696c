#include "floodwall/diagnosis.h"

#include <algorithm>

#ifdef __linux__
#include "probe/linux/linux_diagnosis.h"
#endif

namespace floodwall {

Diagnosis Diagnose() {
#ifdef __linux__
  return DiagnoseLinux("", KernelCalls::Native());
#else
  Diagnosis out;
  const MemoryReadings all = MemoryProbe::Native()->ReadAll();
  for (const Reading& reading : {all.rss, all.rss_anon, all.rss_file, all.rss_peak, all.host_total,
                                 all.host_available, all.swap_free, all.limit, all.available}) {
    const std::string name(reading.source);
    const bool listed = std::any_of(out.sources.begin(), out.sources.end(),
                                    [&](const SourceCheck& source) { return source.name == name; });
    if (!name.empty() && !listed) out.sources.push_back({name, reading.error});
  }
  return out;
#endif
}

}  // namespace floodwall

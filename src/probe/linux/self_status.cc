#include "probe/linux/self_status.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "probe/kernel_text.h"
#include "probe/source_name.h"

namespace floodwall {

SelfStatus::SelfStatus(KernelCalls* calls, const std::string& root, const std::string& process)
    : calls_(calls),
      is_own_(process == "self"),
      statm_name_(SourceName("/proc/" + process + "/statm")),
      status_name_(SourceName("/proc/" + process + "/status")),
      statm_(calls, root + std::string(statm_name_)),
      status_(calls, root + std::string(status_name_)),
      page_bytes_(::sysconf(_SC_PAGESIZE)) {}

Reading SelfStatus::ReadStatm(int64_t* shared_bytes) {
  std::array<char, 256> buffer;
  const KeptFile::Text read = statm_.Read(buffer);
  if (read.error != 0) return {-1, read.error, statm_name_};
  std::string_view line = read.text;
  NextWord(&line);  // the size of the address space
  const auto resident = ParseNumber(NextWord(&line));
  const auto shared = ParseNumber(NextWord(&line));
  // A resident set of no pages is a zombie's or an emulation's, not ours.
  if (!resident || *resident <= 0) return {-1, EPROTO, statm_name_};
  int64_t bytes;
  if (__builtin_mul_overflow(*resident, page_bytes_, &bytes)) return {-1, ERANGE, statm_name_};
  *shared_bytes = shared ? std::min(*shared, *resident) * page_bytes_ : -1;
  return {bytes, 0, statm_name_};
}

bool SelfStatus::ReadStatus(MemoryReadings* out) {
  std::array<char, 4096> buffer;
  const KeptFile::Text read = status_.Read(buffer);
  int64_t rss = -1, anon = -1, file = -1, shmem = -1, peak = -1;
  if (read.error == 0) {
    FindNumbers(read.text, {{"VmHWM", &peak},
                            {"VmRSS", &rss},
                            {"RssAnon", &anon},
                            {"RssFile", &file},
                            {"RssShmem", &shmem}});
  }
  const int error = read.error != 0 ? read.error : EPROTO;
  const auto reading = [&](int64_t value) {
    return Reading{value, value < 0 ? error : 0, status_name_};
  };
  out->rss = reading(rss);
  out->rss_anon = reading(anon);
  out->rss_file = reading(file < 0 ? -1 : SaturatingAdd(file, std::max<int64_t>(shmem, 0)));
  out->rss_peak = reading(peak);
  return rss >= 0;
}

Reading SelfStatus::ReadResident() {
  int64_t shared;
  Reading statm = ReadStatm(&shared);
  if (statm.known()) return statm;
  MemoryReadings all;
  return ReadStatus(&all) ? all.rss : statm;
}

void SelfStatus::ReadAll(MemoryReadings* out) {
  ReadStatus(out);
  // Kernels before 4.5 have no RssAnon; some sandboxes show statm only.
  if (!out->rss.known() || !out->rss_anon.known()) {
    int64_t shared = -1;
    const Reading statm = ReadStatm(&shared);
    if (statm.known()) {
      out->rss = statm;
      if (shared >= 0) {
        out->rss_anon = {statm.value - shared, 0, statm_name_};
        out->rss_file = {shared, 0, statm_name_};
      }
    }
  }
  int64_t peak = 0;
  // The greatest value may be the one of the program that executed this one: a last resort.
  if (is_own_ && !out->rss_peak.known() && calls_->PeakResident(&peak) == 0) {
    out->rss_peak = {peak, 0, "getrusage"};
  }
}

}  // namespace floodwall

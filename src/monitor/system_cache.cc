#include "monitor/system_cache.h"

#include <limits>

#include "base/coarse_clock.h"
#include "base/fork_epoch.h"
#include "base/log_once.h"

namespace floodwall {

SystemFigures SystemCache::Get(bool exact, int64_t enough) {
  const uint64_t epoch = ForkEpoch();
  const auto kept = figures_.Load(epoch);
  const int64_t now = CoarseNow();
  const bool fresh = kept && now - kept->read_ns < age_ns_ && (kept->exact || !exact);
  if (fresh) return *kept;
  if (!figures_.TryClaim(epoch)) {
    // Somebody else is reading; what it published before is at most one read older. An inexact
    // figure will not do for a caller who shows it.
    if (kept && (kept->exact || !exact)) return *kept;
    return Read(exact, enough, kept);
  }
  const SystemFigures read = Read(exact, enough, kept);
  figures_.Publish(read, epoch);
  return read;
}

SystemFigures SystemCache::Refresh() {
  const uint64_t epoch = ForkEpoch();
  const bool claimed = figures_.TryClaim(epoch);
  const SystemFigures read = Read(true, 0, figures_.Load(epoch));
  if (claimed) figures_.Publish(read, epoch);
  return read;
}

std::optional<SystemFigures> SystemCache::Last() const { return figures_.Load(ForkEpoch()); }

SystemFigures SystemCache::Read(bool exact, int64_t enough,
                                const std::optional<SystemFigures>& before) {
  SystemFigures out;
  out.exact = true;
  const Reading rss = probe_->ReadResident();
  const Reading available =
      probe_->ReadAvailable(exact ? std::numeric_limits<int64_t>::max() : enough, &out.exact);
  out.rss = rss.value;
  out.available = available.value;
  out.judged_rss = out.rss < 0 && before ? before->judged_rss : out.rss;
  out.judged_available = out.available < 0 && before ? before->judged_available : out.available;
  out.read_ns = CoarseNow();
  for (const Reading& reading : {rss, available}) {
    LogFailureOnce(reading.source, reading.error, "the last known memory figure is judged");
  }
  return out;
}

}  // namespace floodwall

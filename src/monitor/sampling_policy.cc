#include "monitor/sampling_policy.h"

#include <algorithm>
#include <limits>

namespace floodwall {
namespace {

// Before any growth was seen: somewhat more than one thread touches new memory in a second.
constexpr double kFirstGrowth = 1 << 30;
constexpr int64_t kShortestNs = 1'000'000;  // over less, a rate is noise
constexpr double kMargin = 1.05;

int64_t Nanoseconds(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

/// Bytes until the use reaches its next worse level.
double HeadroomOfUse(double used, double limit) {
  for (const double share : {0.7, 0.9, 1.0}) {
    if (used < share * limit) return share * limit - used;
  }
  return std::numeric_limits<double>::infinity();  // it cannot get worse
}

double HeadroomAbove(double available, double floor) {
  for (const double times : {2.0, 1.5, 1.0}) {
    if (available >= times * floor) return available - times * floor;
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace

SamplingPolicy::SamplingPolicy(const MemoryWatchOptions& options)
    : least_ns_(Nanoseconds(options.min_seconds)),
      most_ns_(Nanoseconds(options.max_seconds)),
      calm_ns_(Nanoseconds(options.calm_seconds)),
      arrow_growth_(kFirstGrowth),
      rss_growth_(kFirstGrowth),
      available_fall_(kFirstGrowth) {}

int64_t SamplingPolicy::growth_per_second() const {
  return static_cast<int64_t>(std::max({arrow_growth_, rss_growth_, available_fall_}));
}

void SamplingPolicy::Learn(const MemoryStatus& status, int64_t now_ns) {
  const int64_t elapsed = now_ns - last_ns_;
  if (elapsed < kShortestNs) return;
  const double seconds = static_cast<double>(elapsed) * 1e-9;
  const auto learn = [&](int64_t before, int64_t after, double* fastest) {
    if (before < 0 || after < 0) return;
    *fastest = std::max(*fastest, static_cast<double>(after - before) / seconds);
  };
  learn(last_.arrow_bytes, judged_.arrow_bytes, &arrow_growth_);
  learn(last_.rss_bytes, status.rss_bytes, &rss_growth_);
  learn(status.available_bytes, last_.available_bytes, &available_fall_);
}

MemoryPressureLevel SamplingPolicy::Level(const MemoryMonitor& monitor, int64_t now_ns) {
  const MemoryPressureLevel now = monitor.Judge(judged_);
  if (now >= level_) {
    milder_since_ns_ = -1;
    return now;
  }
  const MemoryPressureLevel careful =
      monitor.Judge(static_cast<double>(judged_.arrow_bytes) * kMargin,
                    static_cast<double>(judged_.rss_bytes) * kMargin,
                    static_cast<double>(judged_.available_bytes) / kMargin);
  if (careful >= level_) {
    milder_since_ns_ = -1;
    return level_;
  }
  if (milder_since_ns_ < 0) milder_since_ns_ = now_ns;
  if (now_ns - milder_since_ns_ < calm_ns_) return level_;
  milder_since_ns_ = -1;
  return careful;
}

int64_t SamplingPolicy::Next(const MemoryMonitor& monitor) const {
  double seconds =
      HeadroomOfUse(static_cast<double>(judged_.arrow_bytes), monitor.max_arrow_bytes()) /
      arrow_growth_;
  if (monitor.max_process_bytes() > 0 && judged_.rss_bytes >= 0) {
    seconds = std::min(seconds, HeadroomOfUse(static_cast<double>(judged_.rss_bytes),
                                              monitor.max_process_bytes()) /
                                    rss_growth_);
  }
  if (monitor.min_available_bytes() > 0 && judged_.available_bytes >= 0) {
    seconds = std::min(seconds, HeadroomAbove(static_cast<double>(judged_.available_bytes),
                                              monitor.min_available_bytes()) /
                                    available_fall_);
  }
  const double most = static_cast<double>(most_ns_);
  auto next = static_cast<int64_t>(std::min(seconds * 1e9, most));
  // A milder level is due when it has lasted.
  if (milder_since_ns_ >= 0) {
    next = std::min(next, std::max<int64_t>(0, milder_since_ns_ + calm_ns_ - last_ns_));
  }
  return std::clamp(next, least_ns_, most_ns_);
}

SamplingPolicy::Decision SamplingPolicy::Take(const MemoryMonitor& monitor,
                                              const MemoryStatus& status, int64_t now_ns) {
  judged_ = status;
  if (!first_ && status.arrow_peak_bytes > last_.arrow_peak_bytes) {
    judged_.arrow_bytes = std::max(status.arrow_bytes, status.arrow_peak_bytes);
  }
  if (!first_) Learn(status, now_ns);
  first_ = false;
  last_ = status;
  last_ns_ = now_ns;
  level_ = Level(monitor, now_ns);
  return {level_, Next(monitor)};
}

}  // namespace floodwall

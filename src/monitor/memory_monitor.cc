#include "floodwall/memory_monitor.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "base/coarse_clock.h"
#include "base/fork_epoch.h"
#include "monitor/read_cache.h"

namespace floodwall {
namespace {

constexpr double kMb = 1048576;

arrow::Status CheckLimit(const char* name, double bytes) {
  if (std::isfinite(bytes) && bytes >= 0) return arrow::Status::OK();
  return arrow::Status::Invalid(name, " must be a finite number of at least 0, got ", bytes);
}

/// Limits as a person wrote them: without decimals when they have none.
std::string Megabytes(double bytes) {
  char text[64];
  const double mb = bytes / kMb;
  std::snprintf(text, sizeof text, mb == std::floor(mb) ? "%.0f" : "%g", mb);
  return text;
}

std::string OneDecimal(double bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f", bytes / kMb);
  return text;
}

std::string Percent(double used, double limit) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100 * used / limit);
  return text;
}

}  // namespace

class MemoryMonitor::Cache {
 public:
  Cache(MemoryProbe* probe, double seconds)
      : probe_(probe), age_ns_(static_cast<int64_t>(seconds * 1e9)) {}

  SystemFigures Get(bool exact, int64_t enough) {
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

 private:
  SystemFigures Read(bool exact, int64_t enough, const std::optional<SystemFigures>& before) {
    SystemFigures out;
    out.rss = probe_->ReadResident().value;
    out.exact = true;
    out.available =
        probe_->ReadAvailable(exact ? std::numeric_limits<int64_t>::max() : enough, &out.exact)
            .value;
    out.judged_rss = out.rss < 0 && before ? before->judged_rss : out.rss;
    out.judged_available = out.available < 0 && before ? before->judged_available : out.available;
    out.read_ns = CoarseNow();
    return out;
  }

  MemoryProbe* probe_;
  const int64_t age_ns_;
  ReadCache figures_;
};

arrow::Result<std::unique_ptr<MemoryMonitor>> MemoryMonitor::Make(
    const MemoryMonitorOptions& options) {
  ARROW_RETURN_NOT_OK(CheckLimit("max_arrow_bytes", static_cast<double>(options.max_arrow_bytes)));
  ARROW_RETURN_NOT_OK(
      CheckLimit("max_process_bytes", static_cast<double>(options.max_process_bytes)));
  ARROW_RETURN_NOT_OK(
      CheckLimit("min_available_bytes", static_cast<double>(options.min_available_bytes)));
  ARROW_RETURN_NOT_OK(CheckLimit("cache_seconds", options.cache_seconds));
  if (options.cache_seconds > 3600) {
    return arrow::Status::Invalid("cache_seconds must be at most 3600, got ",
                                  options.cache_seconds);
  }
  if (options.pool == nullptr) return arrow::Status::Invalid("pool must not be null");
  return std::unique_ptr<MemoryMonitor>(new MemoryMonitor(options));
}

MemoryMonitor::MemoryMonitor(const MemoryMonitorOptions& options)
    : pool_(options.pool),
      probe_(options.probe != nullptr ? options.probe : MemoryProbe::Native()),
      max_arrow_(static_cast<double>(options.max_arrow_bytes)),
      max_process_(static_cast<double>(options.max_process_bytes)),
      min_available_(static_cast<double>(options.min_available_bytes)),
      cache_(std::make_unique<Cache>(probe_.get(), options.cache_seconds)) {}

MemoryMonitor::~MemoryMonitor() = default;

arrow::Status MemoryMonitor::set_max_arrow_bytes(double bytes) {
  ARROW_RETURN_NOT_OK(CheckLimit("max_arrow_bytes", bytes));
  max_arrow_.store(bytes, std::memory_order_relaxed);
  return arrow::Status::OK();
}

arrow::Status MemoryMonitor::set_max_process_bytes(double bytes) {
  ARROW_RETURN_NOT_OK(CheckLimit("max_process_bytes", bytes));
  max_process_.store(bytes, std::memory_order_relaxed);
  return arrow::Status::OK();
}

arrow::Status MemoryMonitor::set_min_available_bytes(double bytes) {
  ARROW_RETURN_NOT_OK(CheckLimit("min_available_bytes", bytes));
  min_available_.store(bytes, std::memory_order_relaxed);
  return arrow::Status::OK();
}

MemoryPressureLevel MemoryMonitor::Judge(double arrow_bytes, double rss_bytes,
                                         double available_bytes) const {
  auto level = JudgeUse(arrow_bytes, max_arrow_bytes());
  const double process = max_process_bytes();
  if (process > 0 && rss_bytes >= 0) level = MaxPressure(level, JudgeUse(rss_bytes, process));
  if (available_bytes >= 0) {
    level = MaxPressure(level, JudgeAvailable(available_bytes, min_available_bytes()));
  }
  return level;
}

MemoryPressureLevel MemoryMonitor::Judge(const MemoryStatus& status) const {
  return Judge(static_cast<double>(status.arrow_bytes), static_cast<double>(status.rss_bytes),
               static_cast<double>(status.available_bytes));
}

MemoryPressureLevel MemoryMonitor::CheckPressure() {
  MemoryStatus status;
  status.arrow_bytes = pool_()->bytes_allocated();
  const double floor = min_available_bytes();
  if (floor > 0 || max_process_bytes() > 0) {
    // Twice the floor is where NORMAL begins: more need not be known exactly.
    const double enough = std::ceil(2 * floor);
    const auto figures = cache_->Get(
        false, enough < 9e18 ? static_cast<int64_t>(enough) : std::numeric_limits<int64_t>::max());
    status.rss_bytes = figures.judged_rss;
    status.available_bytes = figures.judged_available;
  }
  return Judge(status);
}

MemoryStatus MemoryMonitor::Status() {
  const arrow::MemoryPool* pool = pool_();
  const SystemFigures figures = cache_->Get(true, 0);
  return {pool->bytes_allocated(), pool->max_memory(), figures.rss, figures.available};
}

std::string MemoryMonitor::DetailedStatus() {
  const MemoryStatus status = Status();
  std::string out = "PyArrow: " + OneDecimal(static_cast<double>(status.arrow_bytes)) + "/" +
                    Megabytes(max_arrow_bytes()) + " MB";
  if (status.rss_bytes >= 0) {
    out += " | Process RSS: " + OneDecimal(static_cast<double>(status.rss_bytes));
    if (max_process_bytes() > 0) out += "/" + Megabytes(max_process_bytes());
    out += " MB";
  }
  if (status.available_bytes >= 0) {
    out += " | System Available: " + OneDecimal(static_cast<double>(status.available_bytes)) +
           " MB (min: " + Megabytes(min_available_bytes()) + " MB)";
  }
  return out;
}

MemoryVerdict MemoryMonitor::Verdict() const {
  const MemoryReadings read = probe_->ReadAll();
  const auto arrow = static_cast<double>(pool_()->bytes_allocated());
  struct Candidate {
    MemoryPressureLevel level;
    double closeness;  ///< 1 where EMERGENCY begins
    const char* constraint;
    std::string sentence;
  };
  std::vector<Candidate> candidates;
  const double max_arrow = max_arrow_bytes(), process = max_process_bytes();
  candidates.push_back({JudgeUse(arrow, max_arrow),
                        max_arrow > 0 ? arrow / max_arrow : (arrow > 0 ? 2 : 0), "arrow",
                        "Arrow holds " + OneDecimal(arrow) + " MB of its " + Megabytes(max_arrow) +
                            " MB" + (max_arrow > 0 ? " (" + Percent(arrow, max_arrow) + ")" : "")});
  if (process > 0 && read.rss.known()) {
    const auto rss = static_cast<double>(read.rss.value);
    candidates.push_back({JudgeUse(rss, process), rss / process, "process",
                          "the process's resident set is " + OneDecimal(rss) + " MB of " +
                              Megabytes(process) + " MB (" + Percent(rss, process) + ")"});
  }
  const double floor = min_available_bytes();
  if (floor > 0 && read.available.known()) {
    const auto available = static_cast<double>(read.available.value);
    candidates.push_back(
        {JudgeAvailable(available, floor),
         available > 0 ? floor / available : std::numeric_limits<double>::infinity(), "system",
         OneDecimal(available) + " MB can still be allocated (" +
             std::string(read.available.source) + "), at least " + Megabytes(floor) +
             " MB must stay"});
  }
  const Candidate* worst = &candidates.front();
  for (const Candidate& candidate : candidates) {
    if (candidate.level > worst->level ||
        (candidate.level == worst->level && candidate.closeness > worst->closeness)) {
      worst = &candidate;
    }
  }
  MemoryVerdict out;
  out.level = worst->level;
  out.constraint = worst->level == MemoryPressureLevel::kNormal ? "none" : worst->constraint;
  out.sentence = worst->level == MemoryPressureLevel::kNormal
                     ? "Nothing is near its limit; closest: " + worst->sentence + "."
                     : worst->sentence + ".";
  if (out.sentence[0] >= 'a' && out.sentence[0] <= 'z') {
    out.sentence[0] = static_cast<char>(out.sentence[0] - 'a' + 'A');
  }
  if (read.soft_available.known() && read.soft_available.value == 0) {
    out.sentence += " The kernel throttles this container: it is above " +
                    std::string(read.soft_limit.source) + ".";
  }
  return out;
}

}  // namespace floodwall

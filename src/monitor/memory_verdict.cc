#include <algorithm>
#include <limits>
#include <string>

#include "floodwall/memory_monitor.h"
#include "monitor/megabytes.h"
#include "monitor/system_cache.h"

namespace floodwall {
namespace {

/// One judgement with what makes it comparable to others.
struct Candidate {
  MemoryPressureLevel level = MemoryPressureLevel::kNormal;
  double closeness = -1;  ///< 1 where EMERGENCY begins
  const char* constraint = "none";
  std::string sentence;
};

void Keep(Candidate candidate, Candidate* worst) {
  if (candidate.level > worst->level ||
      (candidate.level == worst->level && candidate.closeness > worst->closeness)) {
    *worst = std::move(candidate);
  }
}

}  // namespace

MemoryVerdict MemoryMonitor::Verdict() const {
  MemoryReadings read = probe_->ReadAll();
  // What cannot be read now counts with its last value, as in every check.
  if (const auto last = cache_->Last()) {
    if (!read.rss.known()) read.rss.value = last->judged_rss;
    if (!read.available.known()) read.available.value = last->judged_available;
  }
  return Explain(pool_()->bytes_allocated(), read);
}

MemoryVerdict MemoryMonitor::Explain(const MemoryStatus& status) const {
  MemoryReadings read;
  read.rss.value = status.rss_bytes;
  read.available.value = status.available_bytes;
  return Explain(status.arrow_bytes, read);
}

MemoryVerdict MemoryMonitor::Explain(int64_t arrow_bytes, const MemoryReadings& read) const {
  const auto arrow = static_cast<double>(arrow_bytes);
  const double max_arrow = max_arrow_bytes(), process = max_process_bytes();
  Candidate worst;
  Keep(
      {JudgeUse(arrow, max_arrow), max_arrow > 0 ? arrow / max_arrow : (arrow > 0 ? 2 : 0), "arrow",
       "Arrow holds " + OneDecimal(arrow) + " MB of its " + Megabytes(max_arrow) + " MB" +
           (max_arrow > 0 ? " (" + Percent(arrow, max_arrow) + ")" : "")},
      &worst);
  if (process > 0 && read.rss.known()) {
    const auto rss = static_cast<double>(read.rss.value);
    Keep({JudgeUse(rss, process), rss / process, "process",
          "The process's resident set is " + OneDecimal(rss) + " MB of " + Megabytes(process) +
              " MB (" + Percent(rss, process) + ")"},
         &worst);
  }
  const double floor = min_available_bytes();
  if (floor > 0 && read.available.known()) {
    const auto available = static_cast<double>(read.available.value);
    const std::string source(read.available.source);
    Keep({JudgeAvailable(available, floor),
          available > 0 ? floor / available : std::numeric_limits<double>::infinity(), "system",
          OneDecimal(available) + " MB can still be allocated" +
              (source.empty() ? "" : " (" + source + ")") + ", at least " + Megabytes(floor) +
              " MB must stay"},
         &worst);
  }
  MemoryVerdict out;
  out.level = worst.level;
  out.constraint = worst.level == MemoryPressureLevel::kNormal ? "none" : worst.constraint;
  if (worst.level == MemoryPressureLevel::kNormal) {
    if (worst.sentence.starts_with("The ")) worst.sentence[0] = 't';
    out.sentence = "Nothing is near its limit; closest: " + worst.sentence + ".";
  } else {
    out.sentence = worst.sentence + ".";
  }
  if (read.soft_available.known() && read.soft_available.value == 0) {
    out.sentence += " The kernel throttles this container: it is above " +
                    std::string(read.soft_limit.source) + ".";
  }
  return out;
}

}  // namespace floodwall

#include "floodwall/memory_monitor.h"

#include <cmath>
#include <limits>

#include "monitor/megabytes.h"
#include "monitor/system_cache.h"

namespace floodwall {
namespace {

arrow::Status CheckLimit(const char* name, double bytes) {
  if (std::isfinite(bytes) && bytes >= 0) return arrow::Status::OK();
  return arrow::Status::Invalid(name, " must be a finite number of at least 0, got ", bytes);
}

}  // namespace

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
      cache_(std::make_unique<SystemCache>(probe_.get(), options.cache_seconds)) {}

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

MemoryStatus MemoryMonitor::Sample() {
  const arrow::MemoryPool* pool = pool_();
  const SystemFigures figures = cache_->Refresh();
  return {pool->bytes_allocated(), pool->max_memory(), figures.judged_rss,
          figures.judged_available};
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

}  // namespace floodwall

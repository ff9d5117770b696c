#include "floodwall/memory_snapshot.h"

#include <chrono>
#include <cstring>

#include "floodwall/memory_monitor.h"

namespace floodwall {
namespace {

/// What libarrow has handed out through all of its allocators. Pools that guard, log or proxy end
/// in one of these, so nothing is counted twice.
int64_t AllPoolsBytes() {
  int64_t sum = arrow::system_memory_pool()->bytes_allocated();
  arrow::MemoryPool* pool = nullptr;
  if (arrow::mimalloc_memory_pool(&pool).ok()) sum += pool->bytes_allocated();
  if (arrow::jemalloc_memory_pool(&pool).ok()) sum += pool->bytes_allocated();
  return sum;
}

}  // namespace

MemorySnapshot MemoryMonitor::Snapshot() const {
  MemorySnapshot out;
  const auto keep = [&out](const char* field, const Reading& reading) -> std::optional<int64_t> {
    if (reading.known()) {
      out.sources.emplace(field, reading.source);
      return reading.value;
    }
    if (reading.error != 0) {
      out.errors.emplace(field, std::string(reading.source) + ": " + std::strerror(reading.error));
    }
    return std::nullopt;
  };
  const arrow::MemoryPool* pool = pool_();
  const MemoryReadings read = probe_->ReadAll();
  out.arrow_bytes = pool->bytes_allocated();
  out.arrow_peak_bytes = pool->max_memory();
  out.arrow_all_pools_bytes = AllPoolsBytes();
  const std::string pool_source = "arrow::MemoryPool (" + pool->backend_name() + ")";
  for (const char* field : {"arrow_bytes", "arrow_peak_bytes"}) out.sources[field] = pool_source;
  out.sources["arrow_all_pools_bytes"] = "arrow::MemoryPool (all allocators)";
  out.rss_bytes = keep("rss_bytes", read.rss);
  out.rss_anon_bytes = keep("rss_anon_bytes", read.rss_anon);
  out.rss_file_bytes = keep("rss_file_bytes", read.rss_file);
  out.rss_peak_bytes = keep("rss_peak_bytes", read.rss_peak);
  out.limit_bytes = keep("limit_bytes", read.limit);
  if (read.limit.known()) out.limit_source = std::string(read.limit.source);
  out.used_bytes = keep("used_bytes", read.used);
  out.available_bytes = keep("available_bytes", read.available);
  out.host_available_bytes = keep("host_available_bytes", read.host_available);
  out.host_total_bytes = keep("host_total_bytes", read.host_total);
  out.swap_free_bytes = keep("swap_free_bytes", read.swap_free);
  out.soft_limit_bytes = keep("soft_limit_bytes", read.soft_limit);
  out.soft_available_bytes = keep("soft_available_bytes", read.soft_available);
  out.oom_kill_count = keep("oom_kill_count", read.oom_kill_count);
  if (const auto some = keep("psi_some_avg10", read.psi_some_avg10)) {
    out.psi_some_avg10 = static_cast<double>(*some) / 100;
  }
  if (const auto full = keep("psi_full_avg10", read.psi_full_avg10)) {
    out.psi_full_avg10 = static_cast<double>(*full) / 100;
  }
  if (out.rss_anon_bytes) {
    // Arrow counts what was asked for, the kernel what was touched: never below zero.
    out.unmanaged_bytes = std::max<int64_t>(0, *out.rss_anon_bytes - *out.arrow_all_pools_bytes);
    out.sources["unmanaged_bytes"] = "rss_anon_bytes - arrow_all_pools_bytes";
  }
  out.taken_at_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count();
  return out;
}

}  // namespace floodwall

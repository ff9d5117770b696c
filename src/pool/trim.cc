#include "floodwall/trim.h"

#include <algorithm>
#include <chrono>
#include <mutex>

#include "arrow/memory_pool.h"
#include "floodwall/bytes.h"
#include "floodwall/probe.h"

namespace floodwall {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kFirstPause = std::chrono::milliseconds(100);
constexpr auto kLongestPause = std::chrono::milliseconds(10'000);
constexpr int64_t kWorthwhile = kMiB;

int64_t AnonymousBytes() { return MemoryProbe::Native()->ReadAll().rss_anon.value; }

void ReleaseAllPools() {
  arrow::MemoryPool* pool = nullptr;
  if (arrow::mimalloc_memory_pool(&pool).ok()) pool->ReleaseUnused();
  if (arrow::jemalloc_memory_pool(&pool).ok()) pool->ReleaseUnused();
  arrow::system_memory_pool()->ReleaseUnused();  // glibc's heap: everything that is not Arrow's
}

}  // namespace

TrimResult Trim(bool force) {
  static std::mutex mutex;
  static Clock::time_point not_before;
  static std::chrono::milliseconds pause{0};
  TrimResult out;
  std::unique_lock lock(mutex, std::try_to_lock);
  if (!lock.owns_lock() || (!force && Clock::now() < not_before)) {
    out.skipped = true;
    return out;
  }
  out.before_bytes = AnonymousBytes();
  ReleaseAllPools();
  out.after_bytes = AnonymousBytes();
  if (out.returned_bytes() >= kWorthwhile) {
    pause = std::chrono::milliseconds(0);
  } else {
    pause = std::clamp(pause * 2, kFirstPause, kLongestPause);
  }
  not_before = Clock::now() + pause;
  return out;
}

}  // namespace floodwall

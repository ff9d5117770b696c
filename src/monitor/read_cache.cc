#include "monitor/read_cache.h"

namespace floodwall {

std::optional<SystemFigures> ReadCache::Load(uint64_t epoch) const {
  for (;;) {
    const uint64_t before = sequence_.load(std::memory_order_acquire);
    // A child may have been forked from a parent in the middle of a write, which never ends here.
    if (epoch_.load(std::memory_order_relaxed) != epoch) return std::nullopt;
    if (before % 2 != 0) continue;
    SystemFigures out;
    out.rss = rss_.load(std::memory_order_acquire);
    out.available = available_.load(std::memory_order_acquire);
    out.judged_rss = judged_rss_.load(std::memory_order_acquire);
    out.judged_available = judged_available_.load(std::memory_order_acquire);
    out.exact = exact_.load(std::memory_order_acquire);
    out.read_ns = read_ns_.load(std::memory_order_acquire);
    // The loads above are acquires, so none of them is seen later than this one.
    if (sequence_.load(std::memory_order_relaxed) == before) return out;
  }
}

bool ReadCache::TryClaim(uint64_t epoch) {
  uint64_t holder = claim_.load(std::memory_order_relaxed);
  if (holder == epoch + 1) return false;
  return claim_.compare_exchange_strong(holder, epoch + 1, std::memory_order_acquire);
}

void ReadCache::Publish(const SystemFigures& figures, uint64_t epoch) {
  // Odd while writing; a sequence that a fork left odd is odd still.
  const uint64_t odd = sequence_.load(std::memory_order_relaxed) | 1;
  sequence_.store(odd, std::memory_order_relaxed);
  rss_.store(figures.rss, std::memory_order_release);
  available_.store(figures.available, std::memory_order_release);
  judged_rss_.store(figures.judged_rss, std::memory_order_release);
  judged_available_.store(figures.judged_available, std::memory_order_release);
  exact_.store(figures.exact, std::memory_order_release);
  read_ns_.store(figures.read_ns, std::memory_order_release);
  epoch_.store(epoch, std::memory_order_release);
  sequence_.store(odd + 1, std::memory_order_release);
  claim_.store(0, std::memory_order_release);
}

}  // namespace floodwall

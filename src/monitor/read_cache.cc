#include "monitor/read_cache.h"

namespace floodwall {

std::optional<SystemFigures> ReadCache::Load(uint64_t epoch) const {
  for (;;) {
    const uint64_t number = published_.load(std::memory_order_acquire);
    if (number == 0) return std::nullopt;
    const Slot& slot = slots_[number % 2];
    // Another number: the next write was published before this slot was taken for the one after it,
    // so the next look finds a later one.
    if (slot.number.load(std::memory_order_acquire) != number) continue;
    const uint64_t written_in = slot.epoch.load(std::memory_order_acquire);
    SystemFigures out;
    out.rss = slot.rss.load(std::memory_order_acquire);
    out.available = slot.available.load(std::memory_order_acquire);
    out.judged_rss = slot.judged_rss.load(std::memory_order_acquire);
    out.judged_available = slot.judged_available.load(std::memory_order_acquire);
    out.exact = slot.exact.load(std::memory_order_acquire);
    out.read_ns = slot.read_ns.load(std::memory_order_acquire);
    // The loads above are acquires, so none of them is seen later than this one.
    if (slot.number.load(std::memory_order_relaxed) != number) continue;
    if (written_in != epoch) return std::nullopt;
    return out;
  }
}

bool ReadCache::TryClaim(uint64_t epoch) {
  uint64_t holder = claim_.load(std::memory_order_relaxed);
  if (holder == epoch + 1) return false;
  return claim_.compare_exchange_strong(holder, epoch + 1, std::memory_order_acquire);
}

void ReadCache::Publish(const SystemFigures& figures, uint64_t epoch) {
  const uint64_t number = published_.load(std::memory_order_relaxed) + 1;
  Slot& slot = slots_[number % 2];
  // Whoever sees this sees what was published before it; whoever sees one of the figures sees this.
  slot.number.store(0, std::memory_order_release);
  slot.epoch.store(epoch, std::memory_order_release);
  slot.rss.store(figures.rss, std::memory_order_release);
  slot.available.store(figures.available, std::memory_order_release);
  slot.judged_rss.store(figures.judged_rss, std::memory_order_release);
  slot.judged_available.store(figures.judged_available, std::memory_order_release);
  slot.exact.store(figures.exact, std::memory_order_release);
  slot.read_ns.store(figures.read_ns, std::memory_order_release);
  slot.number.store(number, std::memory_order_release);
  published_.store(number, std::memory_order_release);
  claim_.store(0, std::memory_order_release);
}

}  // namespace floodwall

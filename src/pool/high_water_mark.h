#pragma once

/// The largest value ever seen, kept exactly under any number of threads.

#include <atomic>
#include <cstdint>

namespace floodwall {

/// Raises `mark` to `value` unless it is there already. Lock-free.
inline void RaiseHighWaterMark(std::atomic<int64_t>* mark, int64_t value) noexcept {
  int64_t highest = mark->load(std::memory_order_relaxed);
  while (value > highest && !mark->compare_exchange_weak(highest, value, std::memory_order_acq_rel,
                                                         std::memory_order_relaxed)) {
  }
}

}  // namespace floodwall

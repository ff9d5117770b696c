#pragma once

/// What `floodwall run` and the programs it started share: one page of counters, mapped by all.
///
/// The launcher (python/floodwall/launch.py) writes `cap`, `room`, `reaped` and each `anonymous`
/// and `wanted`, and frees the slots of processes that have ended; it reads this layout by offsets,
/// which the assertions below pin.
///
/// Threading: every field is atomic. Units: bytes. Lifetime: the file's, which the launcher
/// removes.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace floodwall {

struct RunSlot {
  std::atomic<int64_t> pid{0};  // 0: free
  std::atomic<int64_t> used{0};
  std::atomic<int64_t> anonymous{0};  // of this process, when the launcher last looked
  std::atomic<int64_t> wanted{0};     // 1: return what was freed to the system
};

struct RunPage {
  static constexpr int kSlots = 1000;

  std::atomic<int64_t> cap{0};
  std::atomic<int64_t> reaped{0};  // of `used`, by processes that have ended
  std::atomic<int64_t> used{0};
  std::atomic<int64_t> peak{0};
  std::atomic<int64_t> refused{0};
  std::atomic<int64_t> overdrafts{0};  // served beyond the cap, because a refusal would crash
  std::atomic<int64_t> requests{0};
  std::atomic<int64_t> room{0};  // limit less the tree's anonymous memory at the last look
  RunSlot slots[kSlots];
};

static_assert(std::atomic<int64_t>::is_always_lock_free && sizeof(std::atomic<int64_t>) == 8);
static_assert(offsetof(RunPage, requests) == 48 && offsetof(RunPage, slots) == 64);

}  // namespace floodwall

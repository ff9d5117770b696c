#pragma once

/// The last system figures of a monitor, published by one thread and read by all without waiting.
///
/// Two slots: the writer fills the one that is not published, then publishes it, so that a writer
/// that is interrupted keeps nobody waiting. A reader tries again only when two writes were
/// completed while it read. A reader whose figures are too old tries to become the writer and, when
/// another thread is it already, uses the old ones. Figures and the writer's claim carry the fork
/// epoch: a child starts without any, and a claim that its parent's thread held does not bind it.
///
/// Threading: all methods from any thread. Errors: none. Units: bytes, nanoseconds of CoarseNow.
/// Lifetime: values only.

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

namespace floodwall {

struct SystemFigures {
  int64_t rss = -1;
  int64_t available = -1;
  /// The last known values, also after a read has failed: what a level is judged by.
  int64_t judged_rss = -1;
  int64_t judged_available = -1;
  bool exact = false;  ///< available is exact, not just large enough
  int64_t read_ns = 0;
};

class ReadCache {
 public:
  /// The published figures, none in a process that has not published any.
  std::optional<SystemFigures> Load(uint64_t epoch) const;

  /// Becomes the writer unless another thread of this process is.
  bool TryClaim(uint64_t epoch);
  /// Publishes and gives the claim back.
  void Publish(const SystemFigures& figures, uint64_t epoch);

 private:
  friend struct ReadCacheForTest;
  struct Slot {
    std::atomic<uint64_t> number{0};  ///< of the write it holds, 0 while it is written
    std::atomic<uint64_t> epoch{~uint64_t{0}};
    std::atomic<int64_t> rss{-1};
    std::atomic<int64_t> available{-1};
    std::atomic<int64_t> judged_rss{-1};
    std::atomic<int64_t> judged_available{-1};
    std::atomic<bool> exact{false};
    std::atomic<int64_t> read_ns{0};
  };
  std::array<Slot, 2> slots_;
  std::atomic<uint64_t> published_{0};  ///< number of the last write, 0 for none
  std::atomic<uint64_t> claim_{0};      ///< epoch + 1 of the writer, 0 for none
};

}  // namespace floodwall

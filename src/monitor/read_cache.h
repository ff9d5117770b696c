#pragma once

/// The last system figures of a monitor, published by one thread and read by all without waiting.
///
/// A seqlock: the writer makes the sequence odd, stores, makes it even. Readers that meet a write
/// try again; a reader whose figures are too old tries to become the writer and, when another
/// thread is it already, uses the old ones. Figures and the writer's claim carry the fork epoch:
/// a child starts without any, and a claim that its parent's thread held does not bind it.
///
/// Threading: all methods from any thread. Errors: none. Units: bytes, nanoseconds of CoarseNow.
/// Lifetime: values only.

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
  std::atomic<uint64_t> sequence_{0};
  std::atomic<uint64_t> claim_{0};  ///< epoch + 1 of the writer, 0 for none
  std::atomic<uint64_t> epoch_{~uint64_t{0}};
  std::atomic<int64_t> rss_{-1};
  std::atomic<int64_t> available_{-1};
  std::atomic<int64_t> judged_rss_{-1};
  std::atomic<int64_t> judged_available_{-1};
  std::atomic<bool> exact_{false};
  std::atomic<int64_t> read_ns_{0};
};

}  // namespace floodwall

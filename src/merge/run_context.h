#pragma once

/// What every phase of one merge shares: budget, pools, options, counters, cancellation.
///
/// Threading: pools, budget and counters may be used from all workers. Lifetime: lives on
/// the stack of Merge and outlives every phase.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "arrow/status.h"
#include "floodwall/budget.h"
#include "floodwall/guarded_pool.h"
#include "floodwall/merge_options.h"
#include "merge/merge_pools.h"
#include "spill/spill_directory.h"

namespace floodwall {

/// Publishes progress into a MergeControl, which may be absent.
class ProgressReporter {
 public:
  ProgressReporter(std::shared_ptr<MergeControl> control, std::shared_ptr<Budget> budget);
  ~ProgressReporter();
  ProgressReporter(const ProgressReporter&) = delete;
  ProgressReporter& operator=(const ProgressReporter&) = delete;
  void StartPhase(const std::string& phase, int64_t total_bytes, int64_t total_rows);
  void Advance(int64_t bytes, int64_t rows);
  void AddSpilled(int64_t bytes);
  /// Cancelled when the caller asked to stop.
  arrow::Status CheckCancelled() const;

 private:
  std::shared_ptr<MergeControl> control_;
};

struct RunContext {
  explicit RunContext(const MergeOptions& merge_options);

  /// Says where to spill, for a dataset with this root. Makes nothing yet.
  void OpenSpill(const std::string& root, SpillCalls* calls = SpillCalls::Real());

  const MergeOptions& options;
  MergePools pools;
  std::shared_ptr<Budget> budget;  ///< limit: max_memory_bytes
  GuardedPool* index_pool;         ///< key index, bitmaps, matches: denied at the limit
  GuardedPool* payload_pool;       ///< source rows: denied at the limit
  GuardedPool* read_pool;          ///< key scans: denied at the limit
  /// Decoders and encoders of the rewrite. Never denied, because Parquet's encoders do not
  /// survive it: their worst case is checked against the budget before they start.
  GuardedPool* encode_pool;
  GuardedPool* spill_pool;  ///< buffers of spill files: denied at the limit
  ProgressReporter progress;
  /// Set by OpenSpill; outlives whatever spilled.
  std::unique_ptr<SpillDirectory> spill;
  std::atomic<int64_t> bytes_read{0};
  std::atomic<int64_t> bytes_copied{0};
  std::atomic<int64_t> bytes_encoded{0};
  std::atomic<int64_t> bytes_written{0};

  /// kMemoryLimitTooSmall: `what` needs `minimum` bytes in all.
  arrow::Status TooSmall(const std::string& what, int64_t minimum) const;
  /// The `what` of such a refusal; of another status its message.
  static std::string Reason(const arrow::Status& refused);
};

/// Runs work(0) ... work(count - 1) on up to `threads` threads, each index once, in
/// ascending order of start. The first failure (lowest index among those seen) stops the
/// rest and is returned.
arrow::Status ParallelFor(int threads, int64_t count,
                          const std::function<arrow::Status(int64_t)>& work);

/// CPUs this process may use, by its affinity mask and its container's quota. `root` stands
/// before the kernel's files (empty: the real system).
int UsableCpus(const std::string& root = "");

}  // namespace floodwall

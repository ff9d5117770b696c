#include "merge/run_context.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "probe/cpu_quota.h"

namespace floodwall {
namespace {

constexpr char kTooSmall[] = "max_memory is too small for this merge, nothing was written: ";
constexpr char kTooSmallLimit[] = "; limit ";

int64_t NowNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

MergeProgress MergeControl::progress() const {
  std::lock_guard lock(mutex_);
  MergeProgress out = progress_;
  out.done_bytes = done_bytes_.load(std::memory_order_relaxed);
  out.done_rows = done_rows_.load(std::memory_order_relaxed);
  out.spilled_bytes = spilled_bytes_.load(std::memory_order_relaxed);
  if (started_ns_ > 0) out.elapsed_s = static_cast<double>(NowNanoseconds() - started_ns_) * 1e-9;
  if (auto budget = budget_.lock()) out.used_bytes = budget->used_bytes();
  return out;
}

ProgressReporter::ProgressReporter(std::shared_ptr<MergeControl> control,
                                   std::shared_ptr<Budget> budget)
    : control_(std::move(control)) {
  if (!control_) return;
  std::lock_guard lock(control_->mutex_);
  control_->started_ns_ = NowNanoseconds();
  control_->progress_.limit_bytes = budget->limit_bytes();
  control_->budget_ = budget;
}

ProgressReporter::~ProgressReporter() {
  if (!control_) return;
  std::lock_guard lock(control_->mutex_);
  // The budget serves the next merge.
  control_->budget_.reset();
}

void ProgressReporter::StartPhase(const std::string& phase, int64_t total_bytes,
                                  int64_t total_rows) {
  if (!control_) return;
  std::lock_guard lock(control_->mutex_);
  control_->progress_.phase = phase;
  control_->progress_.total_bytes = total_bytes;
  control_->progress_.total_rows = total_rows;
  control_->done_bytes_ = 0;
  control_->done_rows_ = 0;
}

void ProgressReporter::Advance(int64_t bytes, int64_t rows) {
  if (!control_) return;
  control_->done_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  control_->done_rows_.fetch_add(rows, std::memory_order_relaxed);
}

void ProgressReporter::AddSpilled(int64_t bytes) {
  if (control_) control_->spilled_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

arrow::Status ProgressReporter::CheckCancelled() const {
  if (control_ && control_->cancelled()) {
    return MakeError(ErrorKind::kCancelled, "the merge was cancelled; the dataset is unchanged");
  }
  return arrow::Status::OK();
}

RunContext::RunContext(const MergeOptions& merge_options)
    : options(merge_options),
      pools(MergePools::Take(merge_options.max_memory_bytes)),
      budget(pools.budget()),
      index_pool(pools.index()),
      payload_pool(pools.payload()),
      read_pool(pools.read()),
      encode_pool(pools.encode()),
      spill_pool(pools.spill()),
      progress(merge_options.control, budget) {}

void RunContext::OpenSpill(const std::string& root, SpillCalls* calls) {
  const std::string parent =
      options.spill_directory.empty() ? root + "/_floodwall" : options.spill_directory;
  spill = std::make_unique<SpillDirectory>(
      parent, options.max_spill_bytes, [this](int64_t bytes) { progress.AddSpilled(bytes); },
      calls);
}

arrow::Status RunContext::TooSmall(const std::string& what, int64_t minimum) const {
  auto detail = std::make_shared<ErrorDetail>(ErrorKind::kMemoryLimitTooSmall);
  detail->requested_bytes = minimum;
  detail->minimum_bytes = minimum;
  detail->limit_bytes = options.max_memory_bytes;
  detail->used_bytes = budget->used_bytes();
  detail->holders = budget->Holders();
  return MakeError(std::move(detail), kTooSmall + what + kTooSmallLimit +
                                          FormatBytes(options.max_memory_bytes) + ", minimum " +
                                          FormatBytes(minimum) + " (" + std::to_string(minimum) +
                                          " bytes)");
}

std::string RunContext::Reason(const arrow::Status& refused) {
  const std::string& message = refused.message();
  if (!message.starts_with(kTooSmall)) return message;
  const size_t begin = std::string_view(kTooSmall).size();
  return message.substr(begin, message.rfind(kTooSmallLimit) - begin);
}

arrow::Status ParallelFor(int threads, int64_t count,
                          const std::function<arrow::Status(int64_t)>& work) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  int64_t first_failed = count;
  arrow::Status failure;
  const auto loop = [&] {
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t i = next.fetch_add(1);
      if (i >= count) return;
      arrow::Status status;
      try {
        status = work(i);
      } catch (const std::bad_alloc&) {
        status = arrow::Status::OutOfMemory("the system has no memory left for the merge");
      } catch (const std::exception& e) {
        status = arrow::Status::UnknownError("merge failed: ", e.what());
      }
      if (status.ok()) continue;
      std::lock_guard lock(mutex);
      failed = true;
      if (i < first_failed) {
        first_failed = i;
        failure = std::move(status);
      }
    }
  };
  const auto workers = std::min<int64_t>(threads, count);
  {
    std::vector<std::jthread> pool;
    for (int64_t t = 1; t < workers; ++t) pool.emplace_back(loop);
    loop();
  }
  return failure;
}

int UsableCpus(const std::string& root) {
  int cpus = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) cpus = std::max(1, CPU_COUNT(&set));
  // A part of a CPU is worth a thread: it is used until the quota is.
  const auto quota = ReadCpuQuota(root);
  if (quota && *quota < cpus) cpus = std::max(1, static_cast<int>(std::ceil(*quota)));
  return cpus;
}

}  // namespace floodwall

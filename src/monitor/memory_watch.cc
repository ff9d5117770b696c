#include "monitor/memory_watch.h"

#include <atomic>
#include <cmath>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#ifndef _WIN32
#include <pthread.h>

#include <csignal>
#endif

#include "base/fork_epoch.h"
#include "monitor/sampling_policy.h"

namespace floodwall {
namespace {

/// Blocks every signal in threads that are started meanwhile: a program's handlers expect to run
/// on its own threads.
class NoSignals {
 public:
#ifndef _WIN32
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#endif
};

arrow::Status CheckSeconds(const char* name, double value, double least, double most) {
  if (std::isfinite(value) && value >= least && value <= most) return arrow::Status::OK();
  return arrow::Status::Invalid(name, " must be between ", least, " and ", most, ", got ", value);
}

}  // namespace

/// What the thread and its owner share.
class MemoryWatch::Sampler {
 public:
  Sampler(std::shared_ptr<MemoryMonitor> monitor, const MemoryWatchOptions& options,
          std::unique_ptr<MemoryEvents> events)
      : monitor_(std::move(monitor)),
        at_(options.at),
        policy_(options),
        events_(std::move(events)) {}

  void Run(const std::stop_token& stop) {
    thread_.store(std::this_thread::get_id(), std::memory_order_release);
    while (!stop.stop_requested()) {
      const int64_t next_ns = SampleOnce(stop);
      if (stop.stop_requested()) break;
      if (events_->Wait(next_ns) == MemoryEvents::Wake::kHint) {
        hints_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    running_.store(false, std::memory_order_release);
  }

  arrow::Result<int64_t> Add(Callback callback, Observer observer) {
    if (!callback && !observer) return arrow::Status::Invalid("a callback must not be empty");
    if (!running()) return arrow::Status::Invalid("this watch has ended");
    auto listener = std::make_shared<Listener>();
    listener->callback = std::move(callback);
    listener->observer = std::move(observer);
    const std::lock_guard guard(lock_);
    listener->id = ++last_id_;
    listeners_.push_back(listener);
    return listener->id;
  }

  void Remove(int64_t id) {
    std::shared_ptr<Listener> removed;  // dies outside the lock
    const std::lock_guard guard(lock_);
    for (auto it = listeners_.begin(); it != listeners_.end(); ++it) {
      if ((*it)->id != id) continue;
      removed = std::move(*it);
      listeners_.erase(it);
      break;
    }
  }

  void Interrupt() { events_->Interrupt(); }
  bool running() const { return epoch_ == ForkEpoch() && running_.load(std::memory_order_acquire); }
  MemoryPressureLevel level() const { return level_.load(std::memory_order_acquire); }

  MemoryWatchStats stats() {
    MemoryWatchStats out;
    out.samples = samples_.load(std::memory_order_relaxed);
    out.hints = hints_.load(std::memory_order_relaxed);
    out.calls = calls_.load(std::memory_order_relaxed);
    out.failed_calls = failed_calls_.load(std::memory_order_relaxed);
    out.growth_per_second = growth_.load(std::memory_order_relaxed);
    // Its lock may be held for ever in a child.
    if (epoch_ == ForkEpoch()) out.event_sources = events_->Sources();
    return out;
  }

  bool IsThisThread() const {
    return thread_.load(std::memory_order_acquire) == std::this_thread::get_id();
  }
  uint64_t epoch() const { return epoch_; }

 private:
  struct Listener {
    int64_t id = 0;
    Callback callback;
    Observer observer;
  };

  int64_t SampleOnce(const std::stop_token& stop) {
    const MemoryStatus status = monitor_->Sample();
    const int64_t now = events_->Now();
    const SamplingPolicy::Decision decision = policy_.Take(*monitor_, status, now);
    const MemoryPressureLevel before = level_.exchange(decision.level, std::memory_order_acq_rel);
    growth_.store(policy_.growth_per_second(), std::memory_order_relaxed);
    samples_.fetch_add(1, std::memory_order_release);
    const bool tell = decision.level != before && MaxPressure(decision.level, before) >= at_;
    {
      const std::lock_guard guard(lock_);
      called_ = listeners_;  // into memory that is there already
    }
    MemoryVerdict verdict;
    if (tell) {
      verdict = monitor_->Explain(policy_.judged());
      verdict.level = decision.level;
    }
    const MemorySample sample{now, status, decision.level};
    for (const auto& listener : called_) {
      if (stop.stop_requested()) break;
      if (listener->observer) Call([&] { listener->observer(sample); });
      if (listener->callback && tell) Call([&] { listener->callback(verdict); });
    }
    called_.clear();
    return decision.next_ns;
  }

  template <typename Body>
  void Call(Body body) {
    calls_.fetch_add(1, std::memory_order_relaxed);
    try {
      body();
    } catch (...) {
      failed_calls_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  const std::shared_ptr<MemoryMonitor> monitor_;
  const MemoryPressureLevel at_;
  const uint64_t epoch_ = ForkEpoch();
  std::atomic<bool> running_{true};
  std::atomic<std::thread::id> thread_{};
  std::atomic<MemoryPressureLevel> level_{MemoryPressureLevel::kNormal};
  std::atomic<int64_t> samples_{0}, hints_{0}, calls_{0}, failed_calls_{0}, growth_{0};

  SamplingPolicy policy_;                          ///< the sampler thread's own
  std::vector<std::shared_ptr<Listener>> called_;  ///< likewise
  const std::unique_ptr<MemoryEvents> events_;

  std::mutex lock_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  int64_t last_id_ = 0;
};

struct MemoryWatch::Thread {
  std::mutex lock;  ///< of who joins
  std::jthread thread;
};

MemoryWatch::MemoryWatch(std::shared_ptr<Sampler> sampler, std::unique_ptr<Thread> thread)
    : sampler_(std::move(sampler)), thread_(std::move(thread)) {}

arrow::Result<std::unique_ptr<MemoryWatch>> MemoryWatch::Start(
    std::shared_ptr<MemoryMonitor> monitor, const MemoryWatchOptions& options, Callback callback) {
  return MemoryWatchForTest::Start(
      std::move(monitor), options, std::move(callback),
      options.kernel_events ? MemoryEvents::Native() : MemoryEvents::Timed());
}

arrow::Result<std::unique_ptr<MemoryWatch>> MemoryWatchForTest::Start(
    std::shared_ptr<MemoryMonitor> monitor, const MemoryWatchOptions& options,
    MemoryWatch::Callback callback, std::unique_ptr<MemoryEvents> events) {
  if (monitor == nullptr) return arrow::Status::Invalid("monitor must not be null");
  ARROW_RETURN_NOT_OK(CheckSeconds("min_seconds", options.min_seconds, 0.001, 3600));
  ARROW_RETURN_NOT_OK(CheckSeconds("max_seconds", options.max_seconds, options.min_seconds, 3600));
  ARROW_RETURN_NOT_OK(CheckSeconds("calm_seconds", options.calm_seconds, 0, 3600));
  auto sampler =
      std::make_shared<MemoryWatch::Sampler>(std::move(monitor), options, std::move(events));
  if (callback) {
    ARROW_RETURN_NOT_OK(sampler->Add(std::move(callback), nullptr).status());
  }
  auto thread = std::make_unique<MemoryWatch::Thread>();
  try {
    const NoSignals blocked;
    thread->thread = std::jthread([sampler](const std::stop_token& stop) {
#ifdef __linux__
      pthread_setname_np(pthread_self(), "floodwall-watch");
#endif
      sampler->Run(stop);
    });
  } catch (const std::system_error& error) {
    return arrow::Status::IOError("the sampler's thread cannot be started: ", error.what());
  }
  return std::unique_ptr<MemoryWatch>(new MemoryWatch(std::move(sampler), std::move(thread)));
}

MemoryWatch::~MemoryWatch() {
  Stop();
  // A callback that destroys its own watch: the thread ends by itself and shares what it needs.
  if (thread_ != nullptr && sampler_->IsThisThread()) thread_->thread.detach();
}

void MemoryWatch::Stop() {
  if (sampler_->epoch() != ForkEpoch()) {
    // A child: the thread is not here, and what it had locked stays locked. Left alone for good.
    if (thread_.release() != nullptr) static_cast<void>(new std::shared_ptr<Sampler>(sampler_));
    return;
  }
  thread_->thread.request_stop();
  sampler_->Interrupt();
  if (sampler_->IsThisThread()) return;
  const std::lock_guard guard(thread_->lock);
  if (thread_->thread.joinable()) thread_->thread.join();
}

arrow::Result<int64_t> MemoryWatch::Add(Callback callback) {
  return sampler_->Add(std::move(callback), nullptr);
}

arrow::Result<int64_t> MemoryWatch::Observe(Observer observer) {
  return sampler_->Add(nullptr, std::move(observer));
}

void MemoryWatch::Remove(int64_t id) {
  if (sampler_->epoch() == ForkEpoch()) sampler_->Remove(id);
}

MemoryPressureLevel MemoryWatch::level() const { return sampler_->level(); }
bool MemoryWatch::running() const { return sampler_->running(); }
MemoryWatchStats MemoryWatch::stats() const { return sampler_->stats(); }

}  // namespace floodwall

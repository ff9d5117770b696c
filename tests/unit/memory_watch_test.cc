#include "monitor/memory_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "support/counting_new.h"
#include "support/set_probe.h"

namespace floodwall {
namespace {

using Level = MemoryPressureLevel;

constexpr int64_t kMiB = int64_t{1} << 20;

// ThreadSanitizer ends a forked child that starts a thread.
#ifdef __SANITIZE_THREAD__
constexpr bool kChildMayStartThreads = false;
#else
constexpr bool kChildMayStartThreads = true;
#endif

/// A clock that moves only when the test says so.
class ScriptedEvents final : public MemoryEvents {
 public:
  int64_t Now() override {
    const std::lock_guard guard(lock_);
    return now_;
  }
  Wake Wait(int64_t timeout_ns) override {
    std::unique_lock guard(lock_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(guard, [this] { return steps_ > 0 || interrupted_; });
    if (interrupted_) return Wake::kInterrupt;
    --steps_;
    now_ += timeout_ns;
    return hint_ ? Wake::kHint : Wake::kTime;
  }
  void Interrupt() override {
    const std::lock_guard guard(lock_);
    interrupted_ = true;
    changed_.notify_all();
  }
  /// Lets the sampler sleep its time `count` times and sample after each.
  void Step(int64_t count = 1, bool hint = false) {
    for (; count > 0; --count) {
      std::unique_lock guard(lock_);
      changed_.wait(guard, [this] { return arrived_ > taken_; });
      ++taken_;
      hint_ = hint;
      steps_ = 1;
      changed_.notify_all();
      changed_.wait(guard, [this] { return arrived_ > taken_; });
    }
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  int64_t now_ = 0, arrived_ = 0, taken_ = 0, steps_ = 0;
  bool interrupted_ = false, hint_ = false;
};

class MemoryWatchTest : public ::testing::Test {
 protected:
  std::unique_ptr<MemoryWatch> Start(MemoryWatch::Callback callback,
                                     const MemoryWatchOptions& options = {}) {
    auto events = std::make_unique<ScriptedEvents>();
    events_ = events.get();
    return MemoryWatchForTest::Start(monitor_, options, std::move(callback), std::move(events))
        .ValueOrDie();
  }
  static std::shared_ptr<MemoryMonitor> Monitor(std::shared_ptr<MemoryProbe> probe) {
    return MemoryMonitor::Make({.min_available_bytes = 100 * kMiB, .probe = std::move(probe)})
        .ValueOrDie();
  }

  std::shared_ptr<testing::SetProbe> probe_ = std::make_shared<testing::SetProbe>();
  std::shared_ptr<MemoryMonitor> monitor_ = Monitor(probe_);
  ScriptedEvents* events_ = nullptr;
  std::vector<Level> told_;
};

TEST_F(MemoryWatchTest, TellsChangesWithTheirReason) {
  std::vector<MemoryVerdict> verdicts;
  auto watch = Start([&](const MemoryVerdict& verdict) { verdicts.push_back(verdict); });
  events_->Step(3);
  EXPECT_TRUE(verdicts.empty()) << "NORMAL is no news";
  probe_->available = 50 * kMiB;
  events_->Step(3);
  ASSERT_EQ(verdicts.size(), 1u) << "a level that stays is told once";
  EXPECT_EQ(verdicts[0].level, Level::kEmergency);
  EXPECT_EQ(verdicts[0].constraint, "system");
  EXPECT_EQ(verdicts[0].sentence, "50.0 MB can still be allocated, at least 100 MB must stay.");
  EXPECT_EQ(watch->level(), Level::kEmergency);
  probe_->available = 1000 * kMiB;
  events_->Step(300);
  ASSERT_EQ(verdicts.size(), 2u);
  EXPECT_EQ(verdicts[1].level, Level::kNormal);
  EXPECT_EQ(watch->level(), Level::kNormal);
}

TEST_F(MemoryWatchTest, LeavesOutWhatIsMilderThanWasAskedFor) {
  auto watch = Start([&](const MemoryVerdict& verdict) { told_.push_back(verdict.level); },
                     {.at = Level::kCritical});
  for (const int64_t available : {190, 140, 190, 90}) {
    probe_->available = available * kMiB;
    events_->Step(300);
  }
  EXPECT_EQ(told_, (std::vector<Level>{Level::kCritical, Level::kWarning, Level::kEmergency}));
}

TEST_F(MemoryWatchTest, GivesEverySampleToObserversAndCountsHints) {
  std::vector<MemorySample> samples;
  auto watch = Start(nullptr);
  events_->Step();
  const int64_t id =
      *watch->Observe([&](const MemorySample& sample) { samples.push_back(sample); });
  events_->Step(2);
  events_->Step(1, true);
  watch->Remove(id);
  events_->Step(2);
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[0].status.rss_bytes, 100 * kMiB);
  EXPECT_GT(samples[1].time_ns, samples[0].time_ns);
  const auto stats = watch->stats();
  EXPECT_EQ(stats.hints, 1);
  EXPECT_EQ(stats.samples, 1 + 1 + 3 + 2);
  EXPECT_EQ(stats.calls, 3);
}

TEST_F(MemoryWatchTest, KeepsALevelWhoseFigureCannotBeRead) {
  auto watch = Start([&](const MemoryVerdict& verdict) { told_.push_back(verdict.level); });
  probe_->available = 50 * kMiB;
  events_->Step();
  probe_->available = -1;
  events_->Step(300);
  EXPECT_EQ(told_, std::vector<Level>{Level::kEmergency});
}

TEST_F(MemoryWatchTest, OthersRunWhenOneThrows) {
  auto watch = Start([](const MemoryVerdict&) { throw std::runtime_error("bad callback"); });
  ASSERT_TRUE(
      watch->Add([&](const MemoryVerdict& verdict) { told_.push_back(verdict.level); }).ok());
  probe_->available = 150 * kMiB;
  events_->Step(2);
  EXPECT_EQ(told_, std::vector<Level>{Level::kWarning});
  EXPECT_EQ(watch->stats().failed_calls, 1);
  EXPECT_TRUE(watch->running());
}

TEST_F(MemoryWatchTest, CallbacksMayUseTheWatch) {
  std::unique_ptr<MemoryWatch> watch;
  std::atomic<bool> ready = false;
  probe_->available = 50 * kMiB;
  watch = Start([&](const MemoryVerdict&) {
    while (!ready) std::this_thread::yield();
    EXPECT_EQ(watch->level(), Level::kEmergency);
    const int64_t id = *watch->Add([](const MemoryVerdict&) {});
    watch->Remove(id);
    watch->stats();
    watch->Stop();
  });
  ready = true;
  while (watch->running()) std::this_thread::yield();
  watch->Stop();
  EXPECT_EQ(watch->stats().samples, 1);
  EXPECT_TRUE(watch->Add([](const MemoryVerdict&) {}).status().IsInvalid());
}

TEST_F(MemoryWatchTest, MayBeDestroyedByItsOwnCallback) {
  auto* watch = new std::unique_ptr<MemoryWatch>;
  std::atomic<bool> ready = false, done = false;
  probe_->available = 50 * kMiB;
  *watch = MemoryWatch::Start(monitor_, {.kernel_events = false}, [&, watch](const MemoryVerdict&) {
             while (!ready) std::this_thread::yield();
             watch->reset();
             delete watch;
             done = true;
           }).ValueOrDie();
  ready = true;
  while (!done) std::this_thread::yield();
}

TEST_F(MemoryWatchTest, StopsWhileItSleepsForLong) {
  for (const bool kernel_events : {false, true}) {
    auto watch =
        MemoryWatch::Start(
            monitor_, {.min_seconds = 3600, .max_seconds = 3600, .kernel_events = kernel_events})
            .ValueOrDie();
    while (watch->stats().samples == 0) std::this_thread::yield();
    std::thread one([&] { watch->Stop(); }), two([&] { watch->Stop(); });
    one.join();
    two.join();
    EXPECT_FALSE(watch->running());
  }
}

TEST_F(MemoryWatchTest, SamplesWithoutAllocating) {
  // The real probe: its files are read into memory that is there already.
  monitor_ = Monitor(MemoryProbe::Native());
  auto watch = Start(nullptr);
  std::atomic<int64_t> seen = 0;
  ASSERT_TRUE(watch->Observe([&](const MemorySample&) { ++seen; }).ok());
  events_->Step(5);
  const testing::CountingNew allocations;
  events_->Step(200);
  EXPECT_EQ(allocations.count(), 0);
  EXPECT_GE(seen, 205) << "the first sample may come before the observer";
}

TEST_F(MemoryWatchTest, AForkedChildHasNoSamplerAndMayStartOne) {
  auto watch =
      MemoryWatch::Start(monitor_, {.min_seconds = 0.001, .max_seconds = 0.001}).ValueOrDie();
  for (int i = 0; i < 50; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(60);  // a deadlock ends the child
      if (watch->running()) ::_exit(1);
      watch->stats();
      watch->Remove(1);
      if (!watch->Add([](const MemoryVerdict&) {}).status().IsInvalid()) ::_exit(2);
      watch->Stop();
      watch.reset();
      if (!kChildMayStartThreads) ::_exit(0);
      auto own = MemoryWatch::Start(monitor_).ValueOrDie();
      while (own->stats().samples == 0) std::this_thread::yield();
      own.reset();
      ::_exit(0);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    ASSERT_EQ(status, 0) << i;
  }
  EXPECT_TRUE(watch->running());
}

TEST_F(MemoryWatchTest, StartsAndSamplesWithoutADescriptorLeft) {
  if (!kChildMayStartThreads) GTEST_SKIP() << "not under ThreadSanitizer";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    auto monitor = Monitor(MemoryProbe::Native());
    monitor->Status();
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, 256);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    while (::dup(0) >= 0) {
    }
    auto watch = MemoryWatch::Start(monitor, {.min_seconds = 0.001, .max_seconds = 0.001});
    if (!watch.ok()) ::_exit(1);
    while ((*watch)->stats().samples < 10) std::this_thread::yield();
    (*watch)->Stop();
    ::_exit(monitor->Status().rss_bytes > 0 ? 0 : 2);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(MemoryWatchTest, SamplesOnWhenItsDescriptorsAreClosedAndTakenByOthers) {
  if (!kChildMayStartThreads) GTEST_SKIP() << "not under ThreadSanitizer";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    auto monitor = Monitor(MemoryProbe::Native());
    auto watch =
        MemoryWatch::Start(monitor, {.min_seconds = 0.001, .max_seconds = 0.001}).ValueOrDie();
    while (watch->stats().samples < 10) std::this_thread::yield();
    for (int fd = 3; fd < 256; ++fd) ::close(fd);
    std::vector<int> others;
    for (int i = 0; i < 64; ++i) others.push_back(::open("/proc/self/maps", O_RDONLY));
    const int64_t before = watch->stats().samples;
    while (watch->stats().samples < before + 1000) std::this_thread::yield();
    watch->Stop();
    for (const int fd : others) {
      if (fd >= 0 && ::fcntl(fd, F_GETFD) < 0) ::_exit(1);  // another's was closed
    }
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(MemoryWatchTest, RefusesBadOptions) {
  EXPECT_TRUE(MemoryWatch::Start(nullptr).status().IsInvalid());
  for (const MemoryWatchOptions& options :
       {MemoryWatchOptions{.min_seconds = 0}, MemoryWatchOptions{.min_seconds = 2},
        MemoryWatchOptions{.max_seconds = 1e9}, MemoryWatchOptions{.calm_seconds = -1}}) {
    EXPECT_TRUE(MemoryWatch::Start(monitor_, options).status().IsInvalid());
  }
}

}  // namespace
}  // namespace floodwall

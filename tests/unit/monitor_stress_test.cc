// Many threads on one monitor, for ThreadSanitizer as much as for what they see.

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "floodwall/memory_monitor.h"
#include "floodwall/memory_watch.h"
#include "floodwall/recorder.h"
#include "support/set_probe.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int kThreads = 64;

/// How long each test goes on at least: a minute in `make test-long`.
std::chrono::seconds StressTime() {
  const char* text = std::getenv("FLOODWALL_STRESS_SECONDS");
  return std::chrono::seconds(text != nullptr ? std::atoi(text) : 0);
}

/// Runs `body(thread, round)` on 64 threads that begin together, `rounds` times and until the time
/// is up.
template <typename Body>
void OnManyThreads(int rounds, Body body) {
  std::barrier start(kThreads);
  const auto end = std::chrono::steady_clock::now() + StressTime();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (int round = 0; round < rounds || std::chrono::steady_clock::now() < end; ++round) {
        body(thread, round);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(MonitorStress, SixtyFourThreadsSeeWholeFigures) {
  auto probe = std::make_shared<testing::SetProbe>();
  probe->rss = probe->available = 1000 * kMiB;
  std::shared_ptr<MemoryMonitor> monitor =
      MemoryMonitor::Make({.min_available_bytes = 10 * kMiB, .cache_seconds = 0, .probe = probe})
          .ValueOrDie();
  std::atomic<int> strange = 0;
  OnManyThreads(200, [&](int thread, int round) {
    if (thread == 0) {
      // Both figures move, never below twice the minimum.
      probe->rss = probe->available = (1000 + round % 1000) * kMiB;
    } else if (thread == 1) {
      if (!monitor->set_min_available_bytes(static_cast<double>((10 + round % 5) * kMiB)).ok()) {
        ++strange;
      }
    } else if (thread % 4 == 0) {
      const MemoryStatus status = thread % 8 == 0 ? monitor->Sample() : monitor->Status();
      if (status.rss_bytes < 1000 * kMiB || status.available_bytes < 1000 * kMiB) ++strange;
    } else if (monitor->CheckPressure() != MemoryPressureLevel::kNormal) {
      ++strange;
    }
  });
  EXPECT_EQ(strange, 0);
}

TEST(MonitorStress, SixtyFourThreadsShareTheRealProbeWithAWatchAndARecorder) {
  const testing::TemporaryDirectory directory;
  std::shared_ptr<MemoryMonitor> monitor =
      MemoryMonitor::Make({.min_available_bytes = 0, .cache_seconds = 0.0001}).ValueOrDie();
  auto recorder =
      Recorder::Create(directory.path() + "/stress.flood", monitor, {.records = 64}).ValueOrDie();
  auto watch =
      MemoryWatch::Start(monitor, {.min_seconds = 0.001, .max_seconds = 0.001}).ValueOrDie();
  ASSERT_TRUE(
      watch->Observe([recorder](const MemorySample& sample) { recorder->Record(sample); }).ok());
  std::atomic<int> unknown = 0;
  OnManyThreads(20, [&](int thread, int) {
    switch (thread % 5) {
      case 0: unknown += monitor->Status().rss_bytes < 0; break;
      case 1: unknown += !monitor->Snapshot().available_bytes.has_value(); break;
      case 2: unknown += monitor->Verdict().sentence.empty(); break;
      case 3: {
        const int64_t id = *watch->Add([](const MemoryVerdict&) {});
        unknown += watch->stats().samples < 0;
        watch->Remove(id);
        break;
      }
      default: monitor->CheckPressure();
    }
  });
  EXPECT_EQ(unknown, 0);
  watch->Stop();
  recorder->Close();
  EXPECT_EQ(ReadRecording(directory.path() + "/stress.flood").ValueOrDie().damaged_records, 0);
}

}  // namespace
}  // namespace floodwall

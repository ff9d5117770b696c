#include "floodwall/memory_monitor.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "floodwall/log.h"
#include "support/set_probe.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

using testing::SetProbe;

class MemoryMonitorTest : public ::testing::Test {
 protected:
  std::unique_ptr<MemoryMonitor> Make(MemoryMonitorOptions options = {}) {
    options.probe = probe_;
    return MemoryMonitor::Make(options).ValueOrDie();
  }
  std::shared_ptr<SetProbe> probe_ = std::make_shared<SetProbe>();
};

TEST_F(MemoryMonitorTest, RefusesBadLimits) {
  EXPECT_TRUE(MemoryMonitor::Make({.max_arrow_bytes = -1}).status().IsInvalid());
  EXPECT_TRUE(MemoryMonitor::Make({.max_process_bytes = -1}).status().IsInvalid());
  EXPECT_TRUE(MemoryMonitor::Make({.min_available_bytes = -1}).status().IsInvalid());
  EXPECT_TRUE(MemoryMonitor::Make({.cache_seconds = -0.1}).status().IsInvalid());
  auto monitor = Make();
  EXPECT_TRUE(monitor->set_max_arrow_bytes(std::nan("")).IsInvalid());
  EXPECT_TRUE(monitor->set_max_process_bytes(HUGE_VAL).IsInvalid());
  EXPECT_EQ(monitor->max_arrow_bytes(), 2048.0 * kMiB);
}

TEST_F(MemoryMonitorTest, TakesTheWorstOfThree) {
  auto monitor = Make({.max_process_bytes = 120 * kMiB, .cache_seconds = 0});
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kWarning);  // 100 of 120
  probe_->available = 511 * kMiB;
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kEmergency);
  ASSERT_TRUE(monitor->set_min_available_bytes(0).ok());
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kWarning);
  ASSERT_TRUE(monitor->set_max_process_bytes(0).ok());
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kNormal);
}

TEST_F(MemoryMonitorTest, SeesArrowLiveWhileSystemFiguresAreCached) {
  auto monitor =
      Make({.max_arrow_bytes = arrow::default_memory_pool()->bytes_allocated() + 3 * kMiB,
            .cache_seconds = 3600});
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kNormal);
  uint8_t* data = nullptr;
  ASSERT_TRUE(arrow::default_memory_pool()->Allocate(4 * kMiB, &data).ok());
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kEmergency);
  arrow::default_memory_pool()->Free(data, 4 * kMiB);
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kNormal);
  EXPECT_EQ(probe_->reads, 1);
}

TEST_F(MemoryMonitorTest, AsksForExactFiguresOnlyToShowThem) {
  auto monitor = Make({.cache_seconds = 3600});
  monitor->CheckPressure();
  EXPECT_EQ(probe_->asked_enough, 1024 * kMiB);
  monitor->CheckPressure();
  EXPECT_EQ(probe_->reads, 1);
  EXPECT_EQ(monitor->Status().available_bytes, 10'000 * kMiB);
  EXPECT_EQ(probe_->reads, 2) << "a lower bound must not be shown";
  monitor->Status();
  monitor->CheckPressure();
  EXPECT_EQ(probe_->reads, 2);
}

TEST_F(MemoryMonitorTest, ReadsNothingThatNoLimitNeeds) {
  auto monitor = Make({.min_available_bytes = 0, .cache_seconds = 0});
  monitor->CheckPressure();
  EXPECT_EQ(probe_->reads, 0);
}

TEST_F(MemoryMonitorTest, AFailedReadNeverLowersTheLevelAndShowsNothing) {
  auto monitor = Make({.max_process_bytes = 99 * kMiB, .cache_seconds = 0});
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kEmergency);
  probe_->rss = -1;
  probe_->available = -1;
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kEmergency);
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kEmergency);
  EXPECT_EQ(monitor->Status().rss_bytes, -1);
  EXPECT_EQ(monitor->DetailedStatus().find("RSS"), std::string::npos);
  const auto snapshot = monitor->Snapshot();
  EXPECT_FALSE(snapshot.rss_bytes);
  EXPECT_EQ(snapshot.errors.at("rss_bytes"), "set: Permission denied");
  probe_->rss = 10 * kMiB;
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kNormal);
}

TEST_F(MemoryMonitorTest, AVerdictAndASampleJudgeTheLastKnownValuesToo) {
  auto monitor = Make({.max_process_bytes = 99 * kMiB, .cache_seconds = 0});
  EXPECT_EQ(monitor->Sample().rss_bytes, 100 * kMiB);
  probe_->rss = -1;
  probe_->available = -1;
  EXPECT_EQ(monitor->Verdict().level, MemoryPressureLevel::kEmergency);
  EXPECT_EQ(monitor->Verdict().constraint, "process");
  const MemoryStatus sample = monitor->Sample();
  EXPECT_EQ(sample.rss_bytes, 100 * kMiB);
  EXPECT_EQ(sample.available_bytes, 10'000 * kMiB);
  EXPECT_EQ(monitor->Judge(sample), MemoryPressureLevel::kEmergency);
  EXPECT_EQ(monitor->Explain(sample).sentence,
            "The process's resident set is 100.0 MB of 99 MB (101 %).");
}

TEST_F(MemoryMonitorTest, ASampleIsWhatCachedCallsUse) {
  auto monitor = Make({.max_process_bytes = 120 * kMiB, .cache_seconds = 3600});
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kWarning);
  probe_->rss = 121 * kMiB;
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kWarning);
  monitor->Sample();
  EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kEmergency);
}

TEST_F(MemoryMonitorTest, LogsAKindOfFailureOnce) {
  auto monitor = Make({.cache_seconds = 0});
  std::vector<std::string> lines;
  SetLogSink([&](std::string_view line) { lines.emplace_back(line); });
  probe_->source = "/test/logged";
  probe_->rss = -1;
  for (int i = 0; i < 5; ++i) monitor->CheckPressure();
  SetLogSink(nullptr);
  EXPECT_EQ(lines, std::vector<std::string>{"/test/logged: Permission denied; the last known "
                                            "memory figure is judged"});
}

TEST_F(MemoryMonitorTest, PrintsTheStatus) {
  auto monitor = Make({.max_arrow_bytes = 1024 * kMiB, .max_process_bytes = 4096 * kMiB});
  const std::string arrow = monitor->DetailedStatus().substr(0, 9);
  EXPECT_EQ(arrow, "PyArrow: ");
  EXPECT_TRUE(monitor->DetailedStatus().ends_with(
      "/1024 MB | Process RSS: 100.0/4096 MB | System Available: 10000.0 MB (min: 512 MB)"))
      << monitor->DetailedStatus();
  ASSERT_TRUE(monitor->set_max_process_bytes(0).ok());
  ASSERT_TRUE(monitor->set_min_available_bytes(512.5 * kMiB).ok());
  EXPECT_TRUE(monitor->DetailedStatus().ends_with(
      " | Process RSS: 100.0 MB | System Available: 10000.0 MB (min: 512.5 MB)"))
      << monitor->DetailedStatus();
}

TEST_F(MemoryMonitorTest, SaysWhichConstraintBinds) {
  auto monitor = Make({.max_process_bytes = 110 * kMiB});
  const auto verdict = monitor->Verdict();
  EXPECT_EQ(verdict.level, MemoryPressureLevel::kCritical);
  EXPECT_EQ(verdict.constraint, "process");
  EXPECT_EQ(verdict.sentence, "The process's resident set is 100.0 MB of 110 MB (91 %).");
  ASSERT_TRUE(monitor->set_max_process_bytes(0).ok());
  EXPECT_EQ(monitor->Verdict().constraint, "none");
}

TEST_F(MemoryMonitorTest, TakesASnapshotOfTheRealSystem) {
  const auto snapshot = MemoryMonitor::Make().ValueOrDie()->Snapshot();
  EXPECT_GT(*snapshot.rss_bytes, kMiB);
  EXPECT_GT(*snapshot.available_bytes, 0);
  EXPECT_GT(*snapshot.limit_bytes, 0);
  EXPECT_GE(*snapshot.arrow_all_pools_bytes, *snapshot.arrow_bytes);
  EXPECT_TRUE(snapshot.sources.contains("rss_bytes"));
  EXPECT_GT(snapshot.taken_at_ns, 0);
}

TEST_F(MemoryMonitorTest, ChecksFromManyThreads) {
  auto monitor = Make({.cache_seconds = 0.001});
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20'000; ++n) {
        EXPECT_EQ(monitor->CheckPressure(), MemoryPressureLevel::kNormal);
        if (n % 100 == 0) {
          EXPECT_EQ(monitor->Status().rss_bytes, 100 * kMiB);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(MemoryMonitorTest, AForkedChildReadsItsOwnFigures) {
  auto monitor = Make({.cache_seconds = 3600});
  monitor->Status();
  const pid_t child = ::fork();
  if (child == 0) {
    probe_->rss = 7 * kMiB;
    ::_exit(monitor->Status().rss_bytes == 7 * kMiB ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(monitor->Status().rss_bytes, 100 * kMiB);
}

}  // namespace
}  // namespace floodwall

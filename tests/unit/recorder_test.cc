#include "floodwall/recorder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "monitor/recording_format.h"
#include "support/set_probe.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class RecorderTest : public ::testing::Test {
 protected:
  std::shared_ptr<Recorder> Make(RecorderOptions options = {}) {
    return Recorder::Create(path_, monitor_, options).ValueOrDie();
  }
  static MemorySample Sample(int64_t n) {
    return {.time_ns = n,
            .status = {.arrow_bytes = n * kMiB,
                       .arrow_peak_bytes = n * kMiB + 1,
                       .rss_bytes = n * kMiB + 2,
                       .available_bytes = n * kMiB + 3},
            .level = MemoryPressureLevel::kCritical};
  }
  std::string Bytes() const { return directory_.Contents().at("job.flood"); }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/job.flood";
  std::shared_ptr<MemoryMonitor> monitor_ =
      MemoryMonitor::Make({.max_arrow_bytes = 7 * kMiB,
                           .min_available_bytes = 0,
                           .probe = std::make_shared<testing::SetProbe>()})
          .ValueOrDie();
};

TEST_F(RecorderTest, ReadsBackWhatItRecorded) {
  auto recorder = Make({.holders = [] {
    return MemoryHolders{{"join", 5}, {std::string(100, 'x'), 4}, {"", 3}, {"d", 2}, {"e", 1}};
  }});
  recorder->Record(Sample(1));
  recorder->Record(Sample(2));
  EXPECT_EQ(recorder->recorded(), 2);
  recorder->Close();
  recorder->Record(Sample(3));
  const Recording read = ReadRecording(path_).ValueOrDie();
  EXPECT_TRUE(read.header_intact);
  EXPECT_EQ(read.header.version, 1);
  EXPECT_EQ(read.header.pid, ::getpid());
  EXPECT_EQ(read.header.max_arrow_bytes, 7.0 * kMiB);
  EXPECT_NE(read.header.command_line.find("test_monitor"), std::string::npos);
  EXPECT_GT(read.header.started_ns, 0);
  EXPECT_GE(read.finished_ns, read.records[1].time_ns);
  EXPECT_EQ(read.damaged_records, 0);
  ASSERT_EQ(read.records.size(), 2u);
  const MemoryRecord& second = read.records[1];
  EXPECT_EQ(second.sequence, 2);
  EXPECT_EQ(second.arrow_bytes, 2 * kMiB);
  EXPECT_EQ(second.arrow_peak_bytes, 2 * kMiB + 1);
  EXPECT_EQ(second.rss_bytes, 2 * kMiB + 2);
  EXPECT_EQ(second.available_bytes, 2 * kMiB + 3);
  EXPECT_EQ(second.rss_anon_bytes, -1) << "unknown";
  EXPECT_EQ(second.level, MemoryPressureLevel::kCritical);
  EXPECT_GE(second.time_ns, read.header.started_ns);
  EXPECT_EQ(second.holders,
            (MemoryHolders{{"join", 5}, {std::string(31, 'x'), 4}, {"", 3}, {"d", 2}}));
}

TEST_F(RecorderTest, KeepsTheNewest) {
  auto recorder = Make({.records = 5});
  for (int64_t n = 1; n <= 13; ++n) recorder->Record(Sample(n));
  const Recording read = ReadRecording(path_).ValueOrDie();
  EXPECT_EQ(read.finished_ns, -1) << "it still runs";
  ASSERT_EQ(read.records.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(read.records[i].sequence, static_cast<int64_t>(i) + 9);
    EXPECT_EQ(read.records[i].arrow_bytes, read.records[i].sequence * kMiB);
  }
}

TEST_F(RecorderTest, SurvivesAKillInTheMiddle) {
  // The child tells through shared memory how far it has come.
  auto* done = static_cast<std::atomic<int64_t>*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (const int64_t records : {1, 16, 4096}) {
    *done = 0;
    const pid_t child = ::fork();
    if (child == 0) {
      auto recorder = Make({.records = records});
      for (int64_t n = 1;; ++n) {
        recorder->Record(Sample(n));
        *done = n;
      }
    }
    while (*done < 1000) std::this_thread::yield();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const Recording read = ReadRecording(path_).ValueOrDie();
    EXPECT_TRUE(read.header_intact);
    EXPECT_EQ(read.header.pid, child);
    EXPECT_EQ(read.finished_ns, -1);
    EXPECT_LE(read.damaged_records, 1) << "the one it was writing";
    ASSERT_GE(static_cast<int64_t>(read.records.size()), std::min<int64_t>(records, 1000) - 1);
    if (read.damaged_records == 0) {
      EXPECT_GE(read.records.back().sequence, *done);
    }
    for (size_t i = 1; i < read.records.size(); ++i) {
      EXPECT_EQ(read.records[i].sequence, read.records[i - 1].sequence + 1);
      EXPECT_EQ(read.records[i].arrow_bytes, read.records[i].sequence * kMiB);
    }
  }
  ::munmap(done, 4096);
}

TEST_F(RecorderTest, ReadsWhatIsLeftOfACutFile) {
  {
    auto recorder = Make({.records = 8});
    for (int64_t n = 1; n <= 8; ++n) recorder->Record(Sample(n));
  }
  const std::string whole = Bytes();
  for (size_t size = 0; size <= whole.size(); size += size < 64 ? 1 : 37) {
    directory_.Write("job.flood", whole.substr(0, size));
    const auto read = ReadRecording(path_);
    if (size < 12) {
      EXPECT_TRUE(read.status().IsInvalid()) << size;
      continue;
    }
    ASSERT_TRUE(read.ok()) << size;
    EXPECT_EQ(read->header_intact, size >= recording::kHeaderBytes) << size;
    const size_t left = size < recording::kHeaderBytes
                            ? 0
                            : (size - recording::kHeaderBytes) / recording::kRecordBytes;
    EXPECT_EQ(read->records.size(), left) << size;
  }
}

TEST_F(RecorderTest, LeavesOutExactlyWhatIsCorrupt) {
  {
    auto recorder = Make({.records = 4});
    for (int64_t n = 1; n <= 4; ++n) recorder->Record(Sample(n));
  }
  const std::string whole = Bytes();
  for (size_t at = 0; at < whole.size(); at += at < recording::kHeaderBytes ? 61 : 7) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    directory_.Write("job.flood", flipped);
    const Recording read = ReadRecording(path_).ValueOrDie();
    const bool in_header = at < recording::kHeaderBytes - recording::kEndBytes;
    const bool in_record = at >= recording::kHeaderBytes;
    EXPECT_EQ(read.header_intact, !in_header) << at;
    EXPECT_EQ(read.records.size(), in_record ? 3u : 4u) << at;
    EXPECT_EQ(read.damaged_records, in_record ? 1 : 0) << at;
    EXPECT_EQ(read.finished_ns == -1, !in_header && !in_record) << at;
  }
}

TEST_F(RecorderTest, ReplacesARecordingAndNothingElse) {
  Make()->Record(Sample(1));
  Make()->Record(Sample(2));
  EXPECT_EQ(ReadRecording(path_).ValueOrDie().records.at(0).arrow_bytes, 2 * kMiB);
  EXPECT_EQ(directory_.Contents().size(), 1u) << "nothing is left beside it";
  directory_.Write("job.flood", "a thesis\n");
  const auto refused = Recorder::Create(path_, monitor_);
  EXPECT_TRUE(refused.status().IsInvalid());
  EXPECT_EQ(refused.status().message(),
            "'" + path_ + "' exists and is not a recording; it is kept");
  EXPECT_EQ(Bytes(), "a thesis\n");
  EXPECT_TRUE(ReadRecording(path_).status().IsInvalid());
  EXPECT_TRUE(Recorder::Create(directory_.path() + "/no/such/x", monitor_).status().IsIOError());
  EXPECT_TRUE(ReadRecording(directory_.path() + "/missing").status().IsIOError());
  EXPECT_TRUE(Recorder::Create(path_, monitor_, {.records = 0}).status().IsInvalid());
}

TEST_F(RecorderTest, DropsRecordsWhenTheFileIsMadeShorter) {
  auto recorder = Make({.records = 100});
  recorder->Record(Sample(1));
  std::filesystem::resize_file(path_, recording::kHeaderBytes + 10);
  recorder->Record(Sample(2));
  EXPECT_EQ(recorder->recorded(), 1);
}

TEST_F(RecorderTest, AForkedChildWritesNothing) {
  auto recorder = Make();
  recorder->Record(Sample(1));
  const pid_t child = ::fork();
  if (child == 0) {
    recorder->Record(Sample(2));
    recorder.reset();
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  recorder->Record(Sample(3));
  const Recording read = ReadRecording(path_).ValueOrDie();
  EXPECT_EQ(read.records.size(), 2u);
  EXPECT_EQ(read.finished_ns, -1) << "the child's end is not the parent's";
}

TEST_F(RecorderTest, RunsOnTheSamplerOfAWatch) {
  auto recorder = Make();
  auto watch =
      MemoryWatch::Start(monitor_, {.min_seconds = 0.001, .max_seconds = 0.001}).ValueOrDie();
  ASSERT_TRUE(
      watch->Observe([recorder](const MemorySample& sample) { recorder->Record(sample); }).ok());
  while (recorder->recorded() < 20) std::this_thread::yield();
  watch->Stop();
  recorder->Close();
  const Recording read = ReadRecording(path_).ValueOrDie();
  EXPECT_EQ(static_cast<int64_t>(read.records.size()), recorder->recorded());
  EXPECT_EQ(read.records.back().rss_bytes, 100 * kMiB);
}

}  // namespace
}  // namespace floodwall

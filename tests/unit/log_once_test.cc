#include "base/log_once.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "floodwall/log.h"

namespace floodwall {
namespace {

TEST(LogOnce, TellsEachKindOnce) {
  std::vector<std::string> lines;
  SetLogSink([&](std::string_view line) { lines.emplace_back(line); });
  for (int i = 0; i < 3; ++i) {
    LogFailureOnce("/test/one", EACCES, "the last value is judged");
    LogFailureOnce("/test/one", EIO, "the last value is judged");
    LogFailureOnce("/test/two", EACCES, "the last value is judged");
    LogFailureOnce("/test/two", 0, "nothing");
  }
  SetLogSink(nullptr);
  EXPECT_EQ(lines,
            (std::vector<std::string>{"/test/one: Permission denied; the last value is judged",
                                      "/test/one: Input/output error; the last value is judged",
                                      "/test/two: Permission denied; the last value is judged"}));
}

TEST(LogOnce, TellsOnceForManyThreadsAndSurvivesASinkThatThrows) {
  std::atomic<int> calls = 0;
  SetLogSink([&](std::string_view) {
    ++calls;
    throw std::runtime_error("a bad sink");
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] { LogFailureOnce("/test/threads", EIO, ""); });
  }
  for (auto& thread : threads) thread.join();
  SetLogSink(nullptr);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace floodwall

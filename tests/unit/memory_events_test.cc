#include "probe/linux/memory_events.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "probe/linux/hint_source.h"
#include "support/faulty_kernel.h"
#include "support/memory_trees.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

using Wake = MemoryEvents::Wake;
using Names = std::vector<std::string>;

constexpr int64_t kNow = 0;
constexpr int64_t kLong = 60'000'000'000;  // longer than a test may take: nobody waits for its end

class MemoryEventsTest : public ::testing::Test {
 protected:
  std::unique_ptr<MemoryEvents> Make() {
    return MakeLinuxMemoryEvents({.root = root_.path(),
                                  .calls = &kernel_,
                                  .quiet_ns = 0,
                                  .search_every_ns = kLong,
                                  .retry_ns = 0});
  }
  void Environment(const std::string& watch, const std::string& write = "") {
    tree_.environment["MEMORY_PRESSURE_WATCH"] = watch;
    if (!write.empty()) tree_.environment["MEMORY_PRESSURE_WRITE"] = write;
    kernel_.Become(tree_);
  }

  testing::TemporaryDirectory root_;
  testing::FaultyKernel kernel_;
  testing::MemoryTree tree_;
};

TEST_F(MemoryEventsTest, SleepsForATimeAndIsInterruptedFromAnotherThread) {
  for (const auto& events : {Make(), MemoryEvents::Timed()}) {
    EXPECT_EQ(events->Wait(kNow), Wake::kTime);
    std::thread other([&] { events->Interrupt(); });
    EXPECT_EQ(events->Wait(kLong), Wake::kInterrupt);
    other.join();
    EXPECT_EQ(events->Wait(kNow), Wake::kTime) << "an interrupt counts once";
    events->Interrupt();
    events->Interrupt();
    EXPECT_EQ(events->Wait(kLong), Wake::kInterrupt) << "one that came before is not lost";
    EXPECT_EQ(events->Wait(kNow), Wake::kTime);
  }
}

TEST_F(MemoryEventsTest, IsInterruptedAlthoughSomebodyClosedThePipe) {
  const int before = ::dup(0);
  ::close(before);
  const auto events = Make();  // its pipe has the two lowest free numbers
  ::close(before);
  ::close(before + 1);
  std::thread other([&] { events->Interrupt(); });
  EXPECT_EQ(events->Wait(kLong), Wake::kInterrupt);
  other.join();
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
}

TEST_F(MemoryEventsTest, HeedsCountersThatRiseAboveTheirBaseline) {
  tree_ = testing::MemoryTreeNamed("kubernetes_v2_nested");
  for (const auto& [path, text] : tree_.files) root_.Write(path, text);
  Environment("/dev/null");
  const auto events = Make();
  EXPECT_EQ(events->Wait(kNow), Wake::kTime) << "what was counted before is no news";
  ASSERT_EQ(events->Sources().size(), 1u);
  const std::string pod =
      root_.path() +
      "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/memory.events";
  // In place, as the kernel does: one write.
  const auto write = [&](const std::string& text) {
    const int fd = ::open(pod.c_str(), O_WRONLY);
    EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
  };
  write("low 1\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
  EXPECT_EQ(events->Wait(kNow), Wake::kTime) << "protection is not pressure";
  write("low 1\nhigh 0\nmax 13\noom 3\noom_kill 2\noom_group_kill 0\n");
  EXPECT_EQ(events->Wait(kLong), Wake::kHint) << "of an ancestor";
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
}

TEST_F(MemoryEventsTest, LooksAgainWhenACgroupIsRemoved) {
  tree_ = testing::MemoryTreeNamed("docker_v2_private_namespace");
  for (const auto& [path, text] : tree_.files) root_.Write(path, text);
  Environment("/dev/null");
  const auto events = Make();
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
  std::filesystem::remove(root_.path() + "/sys/fs/cgroup/memory.events");
  EXPECT_EQ(events->Wait(kLong), Wake::kHint) << "a lost source is worth a look";
  EXPECT_TRUE(events->Sources().empty());
  root_.Write("sys/fs/cgroup/memory.events", "high 1\n");
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
  EXPECT_EQ(events->Sources(), Names{root_.path() + "/sys/fs/cgroup/memory.events"});
}

TEST_F(MemoryEventsTest, DrainsAFifoOfTheServiceManager) {
  const std::string fifo = root_.path() + "/pressure";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  Environment(fifo);
  const auto events = Make();
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
  EXPECT_EQ(events->Sources(), Names{fifo});
  const int writer = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK);
  ASSERT_EQ(::write(writer, "pressure\n", 9), 9);
  EXPECT_EQ(events->Wait(kLong), Wake::kHint);
  EXPECT_EQ(events->Wait(kNow), Wake::kTime) << "what came is drained";
  ::close(writer);
  EXPECT_EQ(events->Wait(kNow), Wake::kTime) << "a writer that leaves ends nothing";
}

TEST_F(MemoryEventsTest, SpeaksFirstOnASocketAndOutlivesIt) {
  const std::string path = root_.path() + "/socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(server, 1), 0);
  Environment(path, "aGVsbG8gdGhlcmU=");
  const auto events = Make();
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
  const int peer = ::accept(server, nullptr, nullptr);
  char text[64] = {};
  ASSERT_EQ(::read(peer, text, sizeof text), 11);
  EXPECT_STREQ(text, "hello there");
  ASSERT_EQ(::write(peer, "!", 1), 1);
  EXPECT_EQ(events->Wait(kLong), Wake::kHint);
  ::close(server);
  ::unlink(path.c_str());
  ::close(peer);
  EXPECT_EQ(events->Wait(kLong), Wake::kHint) << "the loss is worth a look";
  EXPECT_EQ(events->Wait(kNow), Wake::kTime) << "and does not spin";
}

TEST_F(MemoryEventsTest, WatchesNoPressureWhereTheServiceManagerForbidsIt) {
  root_.Write("proc/pressure/memory", "");
  Environment("/dev/null");
  const auto events = Make();
  events->Wait(kNow);
  EXPECT_TRUE(events->Sources().empty());
}

TEST_F(MemoryEventsTest, SetsTheTriggerThatWasAskedFor) {
  root_.Write("cgroup.pressure", "");
  Environment(root_.path() + "/cgroup.pressure", "c29tZSAyMDAwMDAgMjAwMDAwMAA=");
  const auto events = Make();
  events->Wait(kNow);
  EXPECT_EQ(root_.Contents().at("cgroup.pressure"), std::string("some 200000 2000000\0", 20));
}

TEST_F(MemoryEventsTest, SetsItsOwnTriggerOnTheCgroupBeforeTheMachine) {
  tree_ = testing::MemoryTreeNamed("docker_v2_private_namespace");
  for (const auto& [path, text] : tree_.files) root_.Write(path, text);
  root_.Write("sys/fs/cgroup/memory.pressure", "");
  root_.Write("proc/pressure/memory", "");
  const auto events = Make();
  events->Wait(kNow);
  EXPECT_EQ(root_.Contents().at("sys/fs/cgroup/memory.pressure"),
            std::string("some 150000 2000000\0", 20));
  EXPECT_EQ(root_.Contents().at("proc/pressure/memory"), "");
}

TEST(MemoryEventsOfTheKernel, TakesOurTriggerOnTheMachinesPressure) {
  const int fd = ::open("/proc/pressure/memory", O_RDWR);
  if (fd < 0) GTEST_SKIP() << "this kernel has no pressure file to write: " << std::strerror(errno);
  ::close(fd);
  const auto events = MakeLinuxMemoryEvents();
  EXPECT_EQ(events->Wait(kNow), Wake::kTime);
  const auto names = events->Sources();
  EXPECT_TRUE(std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.ends_with("pressure") || name.ends_with("/pressure/memory");
  }));
}

/// Runs in a child inside a fresh v1 cgroup of 64 MiB; returns a code for each way to fail.
int AllocateAcrossAThreshold(const std::string& group) {
  std::ofstream(group + "/cgroup.procs") << ::getpid();
  const auto events = MakeLinuxMemoryEvents({.quiet_ns = 0});
  if (events->Wait(kNow) != Wake::kTime) return 1;
  const auto names = events->Sources();
  if (std::find(names.begin(), names.end(), group + "/memory.usage_in_bytes") == names.end()) {
    return 2;
  }
  constexpr size_t kBytes = size_t{50} << 20;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 3;
  std::memset(memory, 1, kBytes);
  return events->Wait(kLong) == Wake::kHint ? 0 : 4;
}

TEST(MemoryEventsOfTheKernel, HintsWhenAV1CgroupPassesAShareOfItsLimit) {
  const std::string group = "/sys/fs/cgroup/memory/floodwall-events-" + std::to_string(::getpid());
  if (::mkdir(group.c_str(), 0755) != 0) {
    GTEST_SKIP() << "no v1 memory cgroup can be made: " << std::strerror(errno);
  }
  std::ofstream(group + "/memory.limit_in_bytes") << (64 << 20);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(AllocateAcrossAThreshold(group));
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  for (int i = 0; i < 1000 && ::rmdir(group.c_str()) != 0 && errno == EBUSY; ++i) ::usleep(1000);
}

TEST(Base64, DecodesWhatServiceManagersWrite) {
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  EXPECT_EQ(DecodeBase64("YWI="), "ab");
  EXPECT_EQ(DecodeBase64("YWJj"), "abc");
  EXPECT_EQ(DecodeBase64("c29tZSAyMDAwMDAgMjAwMDAwMAA="), std::string("some 200000 2000000\0", 20));
  EXPECT_EQ(DecodeBase64("not base64!"), "");
}

}  // namespace
}  // namespace floodwall

// What a probe says when what it reads fails: each field is a value, or absent with errno and
// source; never 0 for what is unknown; and a failure never makes memory look free.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <vector>

#include "probe/linux/linux_probe.h"
#include "support/faulty_kernel.h"
#include "support/memory_trees.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

/// A tree on disk with a probe over it; `like` lends its files.
struct World {
  explicit World(const testing::MemoryTree& tree, const World* like = nullptr) {
    if (like == nullptr) {
      for (const auto& [path, text] : tree.files) root.Write(path, text);
    }
    kernel.Become(tree);
    probe = MakeLinuxProbe((like == nullptr ? this : like)->root.path(), &kernel);
  }
  int64_t Available() {
    bool exact = false;
    return probe->ReadAvailable(kAll, &exact).value;
  }

  testing::TemporaryDirectory root;
  testing::FaultyKernel kernel;
  std::shared_ptr<MemoryProbe> probe;
};

class FailureRule : public ::testing::TestWithParam<testing::MemoryTree> {};

TEST_P(FailureRule, AFileThatCannotBeReadFromTheStartGivesNoZero) {
  const World files(GetParam());
  for (const auto& [path, text] : GetParam().files) {
    for (const int error : {EACCES, EIO, ENOENT, EMFILE}) {
      World world(GetParam(), &files);
      world.kernel.open_error = [&](const std::string& opened) {
        return opened.ends_with("/" + path) ? error : 0;
      };
      const MemoryReadings all = world.probe->ReadAll();
      for (const Reading& reading : {all.rss, all.rss_anon, all.rss_peak, all.host_total,
                                     all.host_available, all.limit, all.available}) {
        EXPECT_NE(reading.value, 0) << path << " " << reading.source;
        if (!reading.known() && reading.error != 0) {
          EXPECT_FALSE(reading.source.empty()) << path;
        }
      }
    }
  }
}

TEST_P(FailureRule, AFileThatFailsLaterNeverMakesMemoryLookFree) {
  const World files(GetParam());
  for (const auto& [path, text] : GetParam().files) {
    for (const int error : {EACCES, EIO, ENOENT, ENODEV}) {
      // A directory that stays without its limit has none any more: a test of its own.
      if ((error == ENOENT || error == ENODEV) &&
          (path.ends_with("memory.max") || path.ends_with("memory.limit_in_bytes"))) {
        continue;
      }
      World world(GetParam(), &files);
      const MemoryReadings before = world.probe->ReadAll();
      world.kernel.open_error = world.kernel.read_error = [&](const std::string& opened) {
        return opened.ends_with("/" + path) ? error : 0;
      };
      // sysinfo would be another source, more careful than what was read before.
      const MemoryReadings after = world.probe->ReadAll();
      EXPECT_TRUE(after.available.known()) << path;
      EXPECT_LE(after.available.value, before.available.value) << path << " " << error;
      EXPECT_LE(world.Available(), before.available.value) << path << " " << error;
      EXPECT_LE(after.limit.value, before.limit.value) << path << " " << error;
      if (after.rss.known() && before.rss.known()) {
        EXPECT_EQ(after.rss.value, before.rss.value);
      }
    }
  }
}

TEST_P(FailureRule, WhenAllFailsTheLastFiguresBind) {
  World world(GetParam());
  const MemoryReadings before = world.probe->ReadAll();
  world.kernel.open_error = world.kernel.read_error = [&](const std::string&) { return EIO; };
  world.kernel.has_system_info = false;
  const MemoryReadings after = world.probe->ReadAll();
  EXPECT_EQ(after.limit.value, before.limit.value);
  EXPECT_LE(after.available.value, before.available.value);
  EXPECT_GT(after.available.value, 0);
  EXPECT_NE(after.available.error, 0) << "the value is not fresh";
  EXPECT_FALSE(after.rss.known());
  EXPECT_NE(after.rss.error, 0);
  EXPECT_FALSE(after.host_available.known());
}

TEST_P(FailureRule, InterruptsAndShortReadsChangeNothing) {
  World calm(GetParam()), rough(GetParam());
  rough.kernel.most_a_read = 61;
  rough.kernel.pread_error = [n = 0]() mutable { return ++n % 3 == 0 ? EINTR : 0; };
  rough.kernel.open_error = [n = 0](const std::string&) mutable {
    return ++n % 2 == 0 ? EINTR : 0;
  };
  const MemoryReadings expected = calm.probe->ReadAll(), got = rough.probe->ReadAll();
  EXPECT_EQ(got.limit.value, expected.limit.value);
  EXPECT_EQ(got.available.value, expected.available.value);
  EXPECT_EQ(got.rss.value, expected.rss.value);
  EXPECT_EQ(got.oom_kill_count.value, expected.oom_kill_count.value);
}

TEST_P(FailureRule, OtherLineEndsAndUnknownKeysChangeNothing) {
  auto tree = GetParam();
  for (auto& [path, text] : tree.files) {
    std::string windows;
    for (const char c : text) windows += c == '\n' ? "\r\n" : std::string(1, c);
    const bool is_keyed = path.ends_with("meminfo") || path.ends_with("status") ||
                          path.ends_with("memory.stat") || path.ends_with("memory.events") ||
                          path.ends_with("mountinfo") || path.ends_with("self/cgroup");
    text = is_keyed ? "a_key_of_tomorrow 17\r\n\r\nno number here\r\n:\r\n" + windows : windows;
  }
  World calm(GetParam()), other(tree);
  const MemoryReadings expected = calm.probe->ReadAll(), got = other.probe->ReadAll();
  EXPECT_EQ(got.limit.value, expected.limit.value);
  EXPECT_EQ(got.used.value, expected.used.value);
  EXPECT_EQ(got.available.value, expected.available.value);
  EXPECT_EQ(got.rss.value, expected.rss.value);
  EXPECT_EQ(got.soft_limit.value, expected.soft_limit.value);
  EXPECT_EQ(got.psi_some_avg10.value, expected.psi_some_avg10.value);
}

TEST_P(FailureRule, NumbersThatDoNotFitSaturate) {
  constexpr char kTwoTo70[] = "1180591620717411303424";
  World calm(GetParam());
  const MemoryReadings before = calm.probe->ReadAll();
  for (const auto& [path, text] : GetParam().files) {
    std::string changed = text;
    // The first number after a blank, or the whole of a file that holds one.
    const size_t at = changed.find_first_of("0123456789");
    if (at == std::string::npos) continue;
    changed.replace(at, changed.find_first_not_of("0123456789", at) - at, kTwoTo70);
    calm.root.Write(path, changed);
    const MemoryReadings got = World(GetParam(), &calm).probe->ReadAll();
    calm.root.Write(path, text);
    EXPECT_GE(got.available.value, 0) << path;
    EXPECT_GE(got.limit.value, got.available.value) << path;
    if (path.ends_with("memory.current") || path.ends_with("usage_in_bytes")) {
      EXPECT_LE(got.available.value, before.available.value) << path;
    }
    EXPECT_TRUE(!got.rss.known() || got.rss.value > 0) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(All, FailureRule, ::testing::ValuesIn(testing::MemoryTrees()),
                         [](const auto& tree) { return tree.param.name; });

TEST(FailureRuleOfCgroups, AVanishedHierarchyBindsWithItsLastFigures) {
  World world(testing::MemoryTreeNamed("docker_v2_host_namespace"));
  const int64_t before = world.Available();
  // The mount is gone, as in a container that unmounts it: descriptors fail, directories too.
  world.kernel.open_error = [](const std::string& path) {
    return path.find("/sys/fs/cgroup") != std::string::npos ? ENOENT : 0;
  };
  world.kernel.read_error = [](const std::string& path) {
    return path.find("/sys/fs/cgroup") != std::string::npos ? ENODEV : 0;
  };
  EXPECT_EQ(world.Available(), before);
  const auto all = world.probe->ReadAll();
  EXPECT_EQ(all.limit.value, 2048 * kMiB);
  EXPECT_EQ(all.limit.error, ENOENT);
}

TEST(FailureRuleOfCgroups, ALimitEndsWhenMemoryIsNoLongerControlledThere) {
  World world(testing::MemoryTreeNamed("docker_v2_host_namespace"));
  EXPECT_EQ(world.Available(), 143 * kMiB);
  const auto is_memory_file = [](const std::string& path) {
    return path.find("docker-8f3c.scope/memory.") != std::string::npos;
  };
  world.kernel.open_error = [&](const std::string& path) {
    return is_memory_file(path) ? ENOENT : 0;
  };
  world.kernel.read_error = [&](const std::string& path) {
    return is_memory_file(path) ? ENODEV : 0;
  };
  EXPECT_EQ(world.Available(), 49152 * kMiB);
}

TEST(FailureRuleOfCgroups, ALimitOfUnknownUseBindsAtItself) {
  World world(testing::MemoryTreeNamed("gvisor"));
  world.kernel.open_error = [](const std::string& path) {
    return path.ends_with("usage_in_bytes") ? EACCES : 0;
  };
  const auto all = world.probe->ReadAll();
  EXPECT_EQ(all.available.value, 768 * kMiB);
  EXPECT_NE(all.available.error, 0);
}

/// Runs `body` in a child and returns its exit code.
template <typename Body>
int InChild(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(FailureRuleOfDescriptors, ReadsOnWhenNoneIsLeft) {
  EXPECT_EQ(InChild([] {
              const auto probe = MakeLinuxProbe();
              const auto before = probe->ReadAll();
              rlimit limit{};
              ::getrlimit(RLIMIT_NOFILE, &limit);
              limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, 256);
              ::setrlimit(RLIMIT_NOFILE, &limit);
              while (::dup(0) >= 0) {
              }
              for (int i = 0; i < 100; ++i) {
                const auto now = probe->ReadAll();
                bool exact = false;
                if (!now.rss.known() || !now.available.known()) return 1;
                if (now.limit.value != before.limit.value) return 2;
                if (!probe->ReadAvailable(kAll, &exact).known()) return 3;
              }
              return 0;
            }),
            0);
}

TEST(FailureRuleOfDescriptors, OpensAgainWhatADaemonClosed) {
  EXPECT_EQ(InChild([] {
              const auto probe = MakeLinuxProbe();
              const auto before = probe->ReadAll();
              for (int fd = 3; fd < 1024; ++fd) ::close(fd);
              const auto after = probe->ReadAll();
              if (!after.rss.known() || !after.available.known()) return 1;
              return after.limit.value == before.limit.value ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace floodwall

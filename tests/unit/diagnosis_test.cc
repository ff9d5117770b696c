#include "floodwall/diagnosis.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "probe/linux/linux_diagnosis.h"
#include "probe/linux/linux_probe.h"
#include "support/faulty_kernel.h"
#include "support/memory_trees.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

const SourceCheck* Find(const Diagnosis& diagnosis, const std::string& name) {
  const auto found = std::find_if(diagnosis.sources.begin(), diagnosis.sources.end(),
                                  [&](const SourceCheck& source) { return source.name == name; });
  return found == diagnosis.sources.end() ? nullptr : &*found;
}

class DiagnosisOfLayouts : public ::testing::TestWithParam<testing::MemoryTree> {};

TEST_P(DiagnosisOfLayouts, NamesTheLevelThatBinds) {
  const testing::MemoryTree& tree = GetParam();
  testing::TemporaryDirectory root;
  for (const auto& [path, text] : tree.files) root.Write(path, text);
  testing::FaultyKernel kernel;
  kernel.Become(tree);
  const Diagnosis diagnosis = DiagnoseLinux(root.path(), &kernel);

  // Every file of the tree that was opened could be read, and nothing else could.
  for (const SourceCheck& source : diagnosis.sources) {
    if (!source.name.starts_with("/")) continue;
    EXPECT_EQ(source.error, tree.files.contains(source.name.substr(1)) ? 0 : ENOENT) << source.name;
  }
  EXPECT_NE(Find(diagnosis, "/proc/self/cgroup"), nullptr);
  // A limit from a file is the one of a level; the others are the machine's or announced.
  const std::string& source = tree.expected.limit_source;
  if (source.starts_with("/sys/fs/cgroup") && !source.ends_with("memory.stat")) {
    const std::string directory = source.substr(0, source.rfind('/'));
    const auto level =
        std::find_if(diagnosis.levels.begin(), diagnosis.levels.end(),
                     [&](const CgroupCheck& check) { return check.directory == directory; });
    ASSERT_NE(level, diagnosis.levels.end()) << directory;
    EXPECT_EQ(level->limit.value / kMiB, tree.expected.limit);
    EXPECT_EQ(level->used.value / kMiB, tree.expected.used);
    EXPECT_GE(level->charged.value, level->used.value);
  }
  EXPECT_EQ(diagnosis.levels.empty(), diagnosis.cgroup_version == "none");
}

INSTANTIATE_TEST_SUITE_P(All, DiagnosisOfLayouts, ::testing::ValuesIn(testing::MemoryTrees()),
                         [](const auto& tree) { return tree.param.name; });

TEST(Diagnosis, TellsTheErrnoOfEachFile) {
  const testing::MemoryTree tree = testing::MemoryTrees().front();
  testing::TemporaryDirectory root;
  for (const auto& [path, text] : tree.files) root.Write(path, text);
  testing::FaultyKernel kernel;
  kernel.Become(tree);
  kernel.open_error = [](const std::string& path) {
    return path.ends_with("/proc/self/statm") ? EACCES : 0;
  };
  kernel.read_error = [](const std::string& path) {
    return path.ends_with("/proc/meminfo") ? EIO : 0;
  };
  const Diagnosis diagnosis = DiagnoseLinux(root.path(), &kernel);
  ASSERT_NE(Find(diagnosis, "/proc/self/statm"), nullptr);
  EXPECT_EQ(Find(diagnosis, "/proc/self/statm")->error, EACCES);
  ASSERT_NE(Find(diagnosis, "/proc/meminfo"), nullptr);
  EXPECT_EQ(Find(diagnosis, "/proc/meminfo")->error, EIO);
  EXPECT_EQ(Find(diagnosis, "/proc/self/status")->error, 0);
}

TEST(Diagnosis, OfThisSystemNamesWhatItReads) {
  const Diagnosis diagnosis = Diagnose();
  ASSERT_NE(Find(diagnosis, "/proc/self/statm"), nullptr);
  EXPECT_EQ(Find(diagnosis, "/proc/self/statm")->error, 0);
}

/// A child that holds memory until the test ends.
class ProbeOfProcess : public ::testing::Test {
 protected:
  ProbeOfProcess() {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    child_ = ::fork();
    if (child_ == 0) {
      static volatile char held[32 * kMiB];
      for (size_t i = 0; i < sizeof held; i += 4096) held[i] = 1;
      if (::write(ready[1], "r", 1) == 1) ::pause();
      ::_exit(1);
    }
    char byte;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~ProbeOfProcess() override { End(); }
  void End() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

  pid_t child_ = -1;
};

TEST_F(ProbeOfProcess, ReadsTheOtherAndNothingOnceItHasEnded) {
  const auto probe = MemoryProbe::OfProcess(child_);
  const std::string name = "/proc/" + std::to_string(child_) + "/status";
  const MemoryReadings all = probe->ReadAll();
  EXPECT_EQ(all.rss.source, name);
  EXPECT_GE(all.rss.value, 32 * kMiB);
  EXPECT_GE(probe->ReadResident().value, 32 * kMiB);
  EXPECT_EQ(all.limit.value, MemoryProbe::Native()->ReadAll().limit.value) << "the same container";
  End();
  EXPECT_FALSE(probe->ReadAll().rss.known());
  EXPECT_FALSE(probe->ReadAll().rss_peak.known()) << "this process's own would be a lie";
  EXPECT_FALSE(probe->ReadResident().known());
  EXPECT_NE(probe->ReadResident().error, 0);
}

TEST(ProbeOfProcessInATree, FollowsItsCgroupThroughTheseMounts) {
  testing::TemporaryDirectory root;
  root.Write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
  root.Write("proc/self/cgroup", "0::/own\n");
  root.Write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  root.Write("proc/42/cgroup", "0::/other\n");
  root.Write("proc/42/statm", "5000 1024 256 1 0 300 0\n");
  const auto level = [&](const std::string& name, int64_t limit_mib) {
    const std::string directory = "sys/fs/cgroup/" + name;
    root.Write(directory + "/memory.max", std::to_string(limit_mib * kMiB) + "\n");
    root.Write(directory + "/memory.current", std::to_string(10 * kMiB) + "\n");
    root.Write(directory + "/memory.stat",
               "inactive_anon " + std::to_string(10 * kMiB) + "\nactive_anon 0\n");
  };
  level("own", 100);
  level("other", 50);
  testing::FaultyKernel kernel;
  const auto probe = MakeLinuxProbe(root.path(), &kernel, "42");
  const MemoryReadings all = probe->ReadAll();
  EXPECT_EQ(all.limit.value, 50 * kMiB);
  EXPECT_EQ(all.available.value, 40 * kMiB);
  EXPECT_EQ(all.available.source, "/sys/fs/cgroup/other/memory.max");
  EXPECT_EQ(all.rss.source, "/proc/42/statm");
}

}  // namespace
}  // namespace floodwall

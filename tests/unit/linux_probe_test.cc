#include "probe/linux/linux_probe.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <thread>

#include "support/faulty_kernel.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

constexpr char kMeminfo[] =
    "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"
    "SwapFree:          2048 kB\n";
constexpr char kV2Mount[] = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

/// A tree of kernel files below a temporary directory.
class LinuxProbeTest : public ::testing::Test {
 protected:
  LinuxProbeTest() {
    root_.Write("proc/self/statm", "5000 1024 256 1 0 300 0\n");
    root_.Write("proc/self/status",
                "VmHWM:\t    8192 kB\nVmRSS:\t    4096 kB\nRssAnon:\t    3072 kB\n"
                "RssFile:\t     900 kB\nRssShmem:\t     124 kB\n");
    root_.Write("proc/meminfo", kMeminfo);
    root_.Write("proc/pressure/memory",
                "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n"
                "full avg10=0.25 avg60=0.00 avg300=0.00 total=3\n");
  }
  void Cgroup(const std::string& cgroup, const std::string& mountinfo) {
    root_.Write("proc/self/cgroup", cgroup);
    root_.Write("proc/self/mountinfo", mountinfo);
  }
  void V2(const std::string& directory, const std::string& max, int64_t current_mib,
          int64_t anon_mib, int64_t file_mib) {
    root_.Write(directory + "/memory.max", max + "\n");
    root_.Write(directory + "/memory.current", std::to_string(current_mib * kMiB) + "\n");
    root_.Write(directory + "/memory.stat",
                "anon 1\nfile 1\nkernel " + std::to_string(2 * kMiB) + "\ninactive_anon " +
                    std::to_string(anon_mib * kMiB) + "\nactive_anon 0\ninactive_file " +
                    std::to_string(file_mib * kMiB) +
                    "\nactive_file 0\nunevictable 0\nslab_reclaimable " + std::to_string(kMiB) +
                    "\nslab_unreclaimable 1\n");
  }
  std::shared_ptr<MemoryProbe> Probe() { return MakeLinuxProbe(root_.path(), &kernel_); }
  int64_t Available(MemoryProbe* probe, int64_t enough = kAll) {
    return probe->ReadAvailable(enough, &exact_).value;
  }

  testing::TemporaryDirectory root_;
  testing::FaultyKernel kernel_;
  bool exact_ = false;
};

TEST_F(LinuxProbeTest, ReadsTheProcessFromStatmAndStatus) {
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const auto probe = Probe();
  EXPECT_EQ(probe->ReadResident().value, 1024 * page);
  EXPECT_EQ(probe->ReadResident().source, "/proc/self/statm");
  const auto all = probe->ReadAll();
  EXPECT_EQ(all.rss.value, 4 * kMiB);
  EXPECT_EQ(all.rss_anon.value, 3 * kMiB);
  EXPECT_EQ(all.rss_file.value, 1 * kMiB);
  EXPECT_EQ(all.rss_peak.value, 8 * kMiB);
  EXPECT_EQ(all.rss_peak.source, "/proc/self/status");
}

TEST_F(LinuxProbeTest, FallsBackBetweenStatmAndStatus) {
  kernel_.open_error = [](const std::string& path) { return path.ends_with("statm") ? EACCES : 0; };
  EXPECT_EQ(Probe()->ReadResident().value, 4 * kMiB);
  kernel_.open_error = [](const std::string& path) {
    return path.ends_with("status") ? EACCES : 0;
  };
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.rss_anon.value, (1024 - 256) * ::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(all.rss_peak.source, "getrusage");
  kernel_.open_error = [](const std::string&) { return EACCES; };
  const auto none = Probe()->ReadResident();
  EXPECT_FALSE(none.known());
  EXPECT_EQ(none.error, EACCES);
}

TEST_F(LinuxProbeTest, ReadsTheHostWithoutCgroup) {
  const auto probe = Probe();
  EXPECT_EQ(Available(probe.get()), 8192 * kMiB);
  const auto all = probe->ReadAll();
  EXPECT_EQ(all.limit.value, 16384 * kMiB);
  EXPECT_EQ(all.limit.source, "/proc/meminfo");
  EXPECT_EQ(all.used.value, 8192 * kMiB);
  EXPECT_EQ(all.swap_free.value, 2 * kMiB);
  EXPECT_EQ(all.psi_some_avg10.value, 150);
  EXPECT_EQ(all.psi_full_avg10.value, 25);
  EXPECT_FALSE(all.oom_kill_count.known());
  EXPECT_FALSE(all.soft_limit.known());
}

TEST_F(LinuxProbeTest, RebuildsTheEstimateWhenMemAvailableIsMissingOrZero) {
  for (const char* line : {"", "MemAvailable: 0 kB\n"}) {
    root_.Write("proc/meminfo", std::string("MemTotal: 1048576 kB\nMemFree: 102400 kB\n") + line +
                                    "Active(file): 204800 kB\nInactive(file): 0 kB\n"
                                    "SReclaimable: 20480 kB\n");
    root_.Write("proc/zoneinfo",
                "Node 0, zone Normal\n  pages free 1\n        min      1\n"
                "        low      256\n");
    // low is 1 MiB of 4 KiB pages: (100 - 1) + (200 - 1) + (20 - 1).
    EXPECT_EQ(Available(Probe().get()), (99 + 199 + 19) * kMiB) << line;
  }
}

TEST_F(LinuxProbeTest, UsesSysinfoWhereMeminfoIsHidden) {
  kernel_.open_error = [](const std::string& path) {
    return path.ends_with("meminfo") ? EACCES : 0;
  };
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.host_total.source, "sysinfo");
  EXPECT_GT(all.host_available.value, 0);
  kernel_.has_system_info = false;
  const auto none = Probe()->ReadAll();
  EXPECT_FALSE(none.available.known());
  EXPECT_EQ(none.available.error, EACCES);
}

TEST_F(LinuxProbeTest, CountsWhatCannotBeReclaimedOnV2) {
  Cgroup("0::/job\n", kV2Mount);
  V2("sys/fs/cgroup/job", "268435456", 251, 10, 240);
  const auto probe = Probe();
  const auto all = probe->ReadAll();
  EXPECT_EQ(all.limit.value, 256 * kMiB);
  EXPECT_EQ(all.limit.source, "/sys/fs/cgroup/job/memory.max");
  // anon 10 + kernel 2 - reclaimable slab 1, against 251 - 240 - 1: the greater.
  EXPECT_EQ(all.used.value, 11 * kMiB);
  EXPECT_EQ(all.available.value, 245 * kMiB);
  EXPECT_EQ(Available(probe.get()), 245 * kMiB);
  EXPECT_TRUE(exact_);
}

TEST_F(LinuxProbeTest, ObeysTheTightestAncestor) {
  Cgroup("0::/slice/pod/job\n", kV2Mount);
  V2("sys/fs/cgroup/slice/pod/job", "max", 100, 100, 0);
  V2("sys/fs/cgroup/slice/pod", "536870912", 500, 500, 0);
  V2("sys/fs/cgroup/slice", "1073741824", 600, 600, 0);
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.limit.source, "/sys/fs/cgroup/slice/pod/memory.max");
  EXPECT_EQ(all.available.value, 12 * kMiB - 1 * kMiB + 1 * kMiB);
}

TEST_F(LinuxProbeTest, SkipsMemoryStatWhenTheChargeAloneLeavesEnough) {
  Cgroup("0::/job\n", kV2Mount);
  V2("sys/fs/cgroup/job", "1073741824", 300, 100, 200);
  const auto probe = Probe();
  EXPECT_EQ(Available(probe.get(), 512 * kMiB), 724 * kMiB);
  EXPECT_FALSE(exact_);
  // Asked for more than the charge leaves, it reads what counts.
  EXPECT_EQ(Available(probe.get(), 800 * kMiB), 923 * kMiB);
  EXPECT_TRUE(exact_);
}

TEST_F(LinuxProbeTest, FollowsLimitsAndUseWhileRunning) {
  Cgroup("0::/job\n", kV2Mount);
  V2("sys/fs/cgroup/job", "max", 300, 300, 0);
  const auto probe = Probe();
  EXPECT_EQ(Available(probe.get()), 8192 * kMiB);
  V2("sys/fs/cgroup/job", "419430400", 300, 300, 0);
  EXPECT_EQ(Available(probe.get()), 100 * kMiB);
  V2("sys/fs/cgroup/job", "104857600", 300, 300, 0);
  EXPECT_EQ(Available(probe.get()), 0) << "never negative";
}

TEST_F(LinuxProbeTest, FollowsTheProcessToAnotherCgroup) {
  Cgroup("0::/old\n", kV2Mount);
  V2("sys/fs/cgroup/old", "1073741824", 24, 10, 0);
  V2("sys/fs/cgroup/new", "104857600", 4, 4, 0);
  const auto probe = Probe();
  EXPECT_EQ(Available(probe.get()), 1001 * kMiB);
  Cgroup("0::/new\n", kV2Mount);
  ::usleep(1'100'000);
  EXPECT_EQ(Available(probe.get()), 96 * kMiB);
}

TEST_F(LinuxProbeTest, ReadsV1WithTotalsAndTheSentinel) {
  Cgroup("4:memory:/outer/job\n", "35 31 0:32 / /cg rw - cgroup cgroup rw,memory\n");
  const auto v1 = [&](const std::string& directory, const std::string& limit, int64_t anon_mib) {
    root_.Write(directory + "/memory.limit_in_bytes", limit + "\n");
    root_.Write(directory + "/memory.usage_in_bytes", std::to_string(300 * kMiB) + "\n");
    root_.Write(directory + "/memory.kmem.usage_in_bytes", std::to_string(5 * kMiB) + "\n");
    root_.Write(directory + "/memory.stat",
                "inactive_anon 1\nactive_anon 1\ntotal_inactive_anon 0\ntotal_active_anon " +
                    std::to_string(anon_mib * kMiB) + "\ntotal_inactive_file " +
                    std::to_string(150 * kMiB) + "\ntotal_active_file 0\ntotal_unevictable 0\n");
    root_.Write(directory + "/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  };
  v1("cg", "9223372036854771712", 100);
  v1("cg/outer", "419430400", 100);
  v1("cg/outer/job", "9223372036854771712", 100);
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.limit.value, 400 * kMiB);
  EXPECT_EQ(all.limit.source, "/cg/outer/memory.limit_in_bytes");
  // The charge less its file pages, 150, is more than 100 + 5.
  EXPECT_EQ(all.used.value, 150 * kMiB);
  EXPECT_EQ(all.available.value, 250 * kMiB);
  EXPECT_EQ(all.oom_kill_count.value, 3);
}

TEST_F(LinuxProbeTest, DoesNotReadTheRootOfV1AgainUnlessItShowsALimit) {
  Cgroup("4:memory:/job\n", "35 31 0:32 / /cg rw - cgroup cgroup rw,memory\n");
  const auto limit = [&](const std::string& directory, const std::string& text) {
    root_.Write(directory + "/memory.limit_in_bytes", text + "\n");
    root_.Write(directory + "/memory.usage_in_bytes", std::to_string(50 * kMiB) + "\n");
  };
  const auto reads_of_root = [&] {
    int reads = 0;
    kernel_.read_error = [&](const std::string& path) {
      reads += path.ends_with("/cg/memory.limit_in_bytes");
      return 0;
    };
    const auto probe = Probe();
    for (int i = 0; i < 10; ++i) EXPECT_EQ(Available(probe.get()), 350 * kMiB);
    return reads;
  };
  limit("cg/job", "419430400");
  limit("cg", "9223372036854771712");
  EXPECT_GT(reads_of_root(), 10) << "the top of a namespace may get a limit later";
  root_.Write("cg/release_agent", "\n");
  EXPECT_LE(reads_of_root(), 2);
  // An emulation with a limit there is believed.
  limit("cg/job", "9223372036854771712");
  limit("cg", "419430400");
  EXPECT_GT(reads_of_root(), 10);
}

TEST_F(LinuxProbeTest, HonoursV1LimitsAboveTheMount) {
  Cgroup("9:memory:/docker/0123\n", "1 2 0:3 /docker/0123 /cg ro - cgroup cgroup rw,memory\n");
  root_.Write("cg/memory.limit_in_bytes", "9223372036854771712\n");
  root_.Write("cg/memory.usage_in_bytes", std::to_string(100 * kMiB) + "\n");
  root_.Write("cg/memory.stat", "hierarchical_memory_limit " + std::to_string(512 * kMiB) +
                                    "\ntotal_inactive_anon " + std::to_string(100 * kMiB) +
                                    "\ntotal_active_anon 0\n");
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.limit.value, 512 * kMiB);
  EXPECT_EQ(all.available.value, 412 * kMiB);
}

TEST_F(LinuxProbeTest, ReportsMemoryHighApart) {
  Cgroup("0::/job\n", kV2Mount);
  V2("sys/fs/cgroup/job", "max", 300, 299, 0);
  root_.Write("sys/fs/cgroup/job/memory.high", std::to_string(200 * kMiB));
  root_.Write("sys/fs/cgroup/job/memory.events", "low 0\nhigh 7\nmax 0\noom 0\noom_kill 2\n");
  root_.Write("sys/fs/cgroup/job/memory.pressure",
              "some avg10=99.99 total=1\nfull avg10=3 total=1\n");
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.soft_limit.value, 200 * kMiB);
  EXPECT_EQ(all.soft_available.value, 0);
  EXPECT_EQ(all.available.value, 8192 * kMiB);
  EXPECT_EQ(all.oom_kill_count.value, 2);
  EXPECT_EQ(all.psi_some_avg10.value, 9999);
  EXPECT_EQ(all.psi_full_avg10.value, 300);
  EXPECT_EQ(all.psi_full_avg10.source, "/sys/fs/cgroup/job/memory.pressure");
}

TEST_F(LinuxProbeTest, CountsTheWholeChargeWhenMemoryStatCannotBeRead) {
  Cgroup("0::/job\n", kV2Mount);
  V2("sys/fs/cgroup/job", "1073741824", 600, 100, 500);
  kernel_.open_error = [](const std::string& path) {
    return path.ends_with("memory.stat") ? EACCES : 0;
  };
  EXPECT_EQ(Available(Probe().get()), 424 * kMiB);
}

TEST_F(LinuxProbeTest, TakesThePlatformsHintWithoutCgroup) {
  kernel_.environment = [](const std::string& name) {
    return name == "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" ? "512" : nullptr;
  };
  const auto all = Probe()->ReadAll();
  EXPECT_EQ(all.limit.value, 512 * kMiB);
  EXPECT_EQ(all.limit.source, "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
  EXPECT_EQ(all.available.value, 512 * kMiB - 1024 * ::sysconf(_SC_PAGESIZE));
}

TEST_F(LinuxProbeTest, SaysNothingWhereNothingCanBeRead) {
  kernel_.open_error = [](const std::string&) { return EACCES; };
  kernel_.has_system_info = false;
  const auto probe = Probe();
  EXPECT_FALSE(probe->has_sources());
  const auto all = probe->ReadAll();
  for (const Reading& reading : {all.rss, all.host_total, all.available, all.limit}) {
    EXPECT_EQ(reading.value, -1);
  }
  EXPECT_FALSE(MemoryProbe::Null()->has_sources());
}

TEST(NativeProbe, AgreesWithTheKernel) {
  const auto probe = MemoryProbe::Native();
  EXPECT_EQ(probe, MemoryProbe::Native());
  EXPECT_TRUE(probe->has_sources());
  const auto all = probe->ReadAll();
  EXPECT_GT(all.rss.value, kMiB);
  EXPECT_GE(all.rss_peak.value, all.rss.value - 4 * kMiB);
  EXPECT_LE(all.rss_anon.value, all.rss.value);
  EXPECT_LE(all.available.value, all.host_total.value);
  EXPECT_LE(all.limit.value, all.host_total.value);
  bool exact = false;
  EXPECT_GT(probe->ReadAvailable(kAll, &exact).value, 0);
  EXPECT_TRUE(exact);
}

TEST(NativeProbe, ReadsTheChildsMemoryAfterForkAndWhileOthersRead) {
  const auto probe = MemoryProbe::Native();
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop) probe->ReadAll();
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      // 64 MiB that only the child has, touched.
      const int64_t before = probe->ReadResident().value;
      std::string mine(static_cast<size_t>(64 * kMiB), 'x');
      const int64_t grown = probe->ReadResident().value - before;
      ::_exit(grown > 60 * kMiB && mine[7] == 'x' ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace floodwall

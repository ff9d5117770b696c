#include "probe/cpu_quota.h"

#include <gtest/gtest.h>

#include "support/faulty_kernel.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr char kV2Mount[] = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

/// A tree of kernel files below a temporary directory.
class CpuQuota : public ::testing::Test {
 protected:
  void Cgroup(const std::string& cgroup, const std::string& mountinfo) {
    root_.Write("proc/self/cgroup", cgroup);
    root_.Write("proc/self/mountinfo", mountinfo);
  }
  std::optional<double> Read() { return ReadCpuQuota(root_.path(), &kernel_); }

  testing::TemporaryDirectory root_;
  testing::FaultyKernel kernel_;
};

TEST_F(CpuQuota, ReadsV2AndTakesTheLeastOfAllAncestors) {
  Cgroup("0::/pod/job\n", kV2Mount);
  root_.Write("sys/fs/cgroup/pod/job/cpu.max", "max 100000\n");
  EXPECT_EQ(Read(), std::nullopt);
  root_.Write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
  EXPECT_EQ(Read(), 1.5);
  root_.Write("sys/fs/cgroup/pod/job/cpu.max", "400000 100000\n");
  EXPECT_EQ(Read(), 1.5);
  root_.Write("sys/fs/cgroup/pod/job/cpu.max", "25000 50000\n");
  EXPECT_EQ(Read(), 0.5);
}

TEST_F(CpuQuota, ReadsV1BesideOtherControllers) {
  // docker on v1: only the container's own directory is mounted.
  Cgroup(
      "9:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n",
      "611 606 0:34 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
      "612 606 0:35 /docker/0123 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
  root_.Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root_.Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Read(), std::nullopt);
  root_.Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(Read(), 2.0);
}

TEST_F(CpuQuota, WhatCannotBeReadIsNoQuota) {
  EXPECT_EQ(Read(), std::nullopt);
  Cgroup("0::/\n", kV2Mount);
  EXPECT_EQ(Read(), std::nullopt);
  for (const char* text : {"", "\n", "max\n", "100000\n", "0 100000\n", "100000 0\n", "x y\n"}) {
    root_.Write("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(Read(), std::nullopt) << text;
  }
  root_.Write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(Read(), 1.0);
  kernel_.open_error = [](const std::string& path) {
    return path.ends_with("cpu.max") ? EACCES : 0;
  };
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(CpuQuota, ReadsThisSystemWithoutFailing) {
  const auto quota = ReadCpuQuota();
  EXPECT_TRUE(!quota || *quota > 0);
}

}  // namespace
}  // namespace floodwall

#include "probe/linux/cgroup_location.h"

#include <gtest/gtest.h>

namespace floodwall {
namespace {

using Paths = std::vector<std::string>;

constexpr char kV2[] =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(CgroupLocation, FindsV2WithAllAncestors) {
  const auto found = LocateCgroup("0::/system.slice/job.service\n", kV2);
  EXPECT_EQ(found.version, CgroupVersion::kV2);
  EXPECT_EQ(found.directories, (Paths{"/sys/fs/cgroup/system.slice/job.service",
                                      "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"}));
  EXPECT_TRUE(found.confident);
  EXPECT_EQ(found.pressure_directory, "/sys/fs/cgroup/system.slice/job.service");
}

TEST(CgroupLocation, FindsThePrivateNamespaceAtItsMount) {
  const auto found = LocateCgroup("0::/\n", kV2);
  EXPECT_EQ(found.directories, Paths{"/sys/fs/cgroup"});
  EXPECT_TRUE(found.confident);
}

TEST(CgroupLocation, KeepsColonsInV1Paths) {
  const auto found =
      LocateCgroup("4:memory:/kubepods/pod1/crio:abc:def\n2:cpu,cpuacct:/other\n",
                   "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n");
  EXPECT_EQ(found.version, CgroupVersion::kV1);
  EXPECT_EQ(found.directories.front(), "/sys/fs/cgroup/memory/kubepods/pod1/crio:abc:def");
  EXPECT_EQ(found.directories.size(), 4u);
}

TEST(CgroupLocation, RemovesTheMountedPartFromThePath) {
  // docker on v1: the host's path, of which only the container's own directory is mounted.
  const auto found = LocateCgroup(
      "9:memory:/docker/0123/worker\n",
      "612 606 0:35 /docker/0123 /sys/fs/cgroup/memory ro master:15 - cgroup cgroup rw,memory\n");
  EXPECT_EQ(found.directories, (Paths{"/sys/fs/cgroup/memory/worker", "/sys/fs/cgroup/memory"}));
  EXPECT_TRUE(found.has_hidden_ancestors);
  // A sibling whose name merely starts alike is outside.
  EXPECT_FALSE(LocateCgroup("9:memory:/docker/01234\n",
                            "1 2 0:3 /docker/0123 /m ro - cgroup cgroup rw,memory\n")
                   .confident);
}

TEST(CgroupLocation, FallsBackToTheMountPoint) {
  for (const char* text : {"0::/../..\n", "0::/..\n", "0::/gone/job (deleted)\n"}) {
    const auto found = LocateCgroup(text, kV2);
    EXPECT_EQ(found.directories, Paths{"/sys/fs/cgroup"}) << text;
    EXPECT_FALSE(found.confident) << text;
  }
}

TEST(CgroupLocation, TakesMemoryFromV1AndPressureFromV2WhenHybrid) {
  const auto found =
      LocateCgroup("4:memory:/job\n1:name=systemd:/x\n0::/unified.slice\n",
                   "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                   "36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                   "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(found.version, CgroupVersion::kV1);
  EXPECT_EQ(found.directories.front(), "/sys/fs/cgroup/memory/job");
  EXPECT_EQ(found.pressure_directory, "/sys/fs/cgroup/unified/unified.slice");
}

TEST(CgroupLocation, PrefersTheMountThatShowsMost) {
  const auto found = LocateCgroup("0::/a/b\n",
                                  "1 2 0:3 /a /small rw - cgroup2 cgroup2 rw\n"
                                  "1 2 0:3 / /whole rw - cgroup2 cgroup2 rw\n"
                                  "1 2 0:3 /other /else rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(found.directories, (Paths{"/whole/a/b", "/whole/a", "/whole"}));
}

TEST(CgroupLocation, UndoesOctalEscapes) {
  EXPECT_EQ(UnescapeMountPath("/my\\040dir\\134x\\9"), "/my dir\\x\\9");
  EXPECT_EQ(LocateCgroup("0::/\n", "1 2 0:3 / /c\\040g rw - cgroup2 cgroup2 rw\n").directories,
            Paths{"/c g"});
}

TEST(CgroupLocation, SaysNoneWithoutMountOrController) {
  EXPECT_EQ(LocateCgroup("0::/job\n", "").version, CgroupVersion::kNone);
  EXPECT_EQ(LocateCgroup("", kV2).version, CgroupVersion::kNone);
  EXPECT_EQ(LocateCgroup("garbage\n::\n", "short line\n\n- - -\n").version, CgroupVersion::kNone);
}

}  // namespace
}  // namespace floodwall

#include <gtest/gtest.h>

#include <limits>

#include "probe/linux/linux_probe.h"
#include "support/faulty_kernel.h"
#include "support/memory_trees.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class ContainerLayouts : public ::testing::TestWithParam<testing::MemoryTree> {};

int64_t Mib(const Reading& reading) { return reading.known() ? reading.value / kMiB : -1; }

TEST_P(ContainerLayouts, GivesWhatIsTrueThere) {
  const testing::MemoryTree& tree = GetParam();
  const auto& expected = tree.expected;
  testing::TemporaryDirectory root;
  for (const auto& [path, text] : tree.files) root.Write(path, text);
  testing::FaultyKernel kernel;
  kernel.Become(tree);
  const auto probe = MakeLinuxProbe(root.path(), &kernel);

  EXPECT_TRUE(probe->has_sources());
  const MemoryReadings all = probe->ReadAll();
  EXPECT_EQ(Mib(all.limit), expected.limit);
  EXPECT_EQ(all.limit.source, expected.limit_source);
  EXPECT_EQ(Mib(all.used), expected.used);
  EXPECT_EQ(Mib(all.available), expected.available);
  EXPECT_EQ(all.available.source, expected.available_source);
  EXPECT_EQ(Mib(all.soft_limit), expected.soft_limit);
  EXPECT_EQ(all.oom_kill_count.value, expected.oom_kills);
  if (expected.pressure_source.empty()) {
    EXPECT_FALSE(all.psi_some_avg10.known());
  } else {
    EXPECT_TRUE(all.psi_some_avg10.known());
    EXPECT_EQ(all.psi_some_avg10.source, expected.pressure_source);
  }
  if (expected.rss_source.empty()) {
    EXPECT_FALSE(all.rss.known());
    EXPECT_NE(all.rss.error, 0);
  } else {
    EXPECT_EQ(Mib(all.rss), 4);
    EXPECT_EQ(all.rss.source, expected.rss_source);
  }

  // The cheap way gives the same figure where it says exact, else a lower bound that is enough.
  bool exact = false;
  EXPECT_EQ(Mib(probe->ReadAvailable(std::numeric_limits<int64_t>::max(), &exact)),
            expected.available);
  EXPECT_TRUE(exact);
  for (int64_t enough = kMiB; enough <= 65536 * kMiB; enough *= 2) {
    const int64_t bound = probe->ReadAvailable(enough, &exact).value / kMiB;
    EXPECT_LE(bound, expected.available) << enough;
    if (exact) {
      EXPECT_EQ(bound, expected.available) << enough;
    } else {
      EXPECT_GE(bound, enough / kMiB);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ContainerLayouts, ::testing::ValuesIn(testing::MemoryTrees()),
                         [](const auto& tree) { return tree.param.name; });

}  // namespace
}  // namespace floodwall

// What the monitor costs: cached calls, fresh ones against the bare preads they need, a sample.
// benchmarks/monitor.py runs it and prints ratios.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "floodwall/memory_monitor.h"
#include "floodwall/memory_watch.h"
#include "monitor/sampling_policy.h"
#include "probe/kept_file.h"
#include "probe/linux/cgroup_location.h"

namespace floodwall {
namespace {

std::shared_ptr<MemoryMonitor> Monitor(double cache_seconds) {
  // Without a process limit and with a small minimum, as most jobs run.
  return MemoryMonitor::Make({.min_available_bytes = 1 << 20, .cache_seconds = cache_seconds})
      .ValueOrDie();
}

void CheckCached(benchmark::State& state) {
  const auto monitor = Monitor(3600);
  for (auto _ : state) benchmark::DoNotOptimize(monitor->CheckPressure());
}
BENCHMARK(CheckCached);

void StatusCached(benchmark::State& state) {
  const auto monitor = Monitor(3600);
  for (auto _ : state) benchmark::DoNotOptimize(monitor->Status());
}
BENCHMARK(StatusCached);

void CheckFresh(benchmark::State& state) {
  const auto monitor = Monitor(0);
  for (auto _ : state) benchmark::DoNotOptimize(monitor->CheckPressure());
}
BENCHMARK(CheckFresh);

void StatusFresh(benchmark::State& state) {
  const auto monitor = Monitor(0);
  for (auto _ : state) benchmark::DoNotOptimize(monitor->Status());
}
BENCHMARK(StatusFresh);

void SnapshotFresh(benchmark::State& state) {
  const auto monitor = Monitor(0);
  for (auto _ : state) benchmark::DoNotOptimize(monitor->Snapshot());
}
BENCHMARK(SnapshotFresh);

void ReadAllFresh(benchmark::State& state) {
  const auto probe = MemoryProbe::Native();
  for (auto _ : state) benchmark::DoNotOptimize(probe->ReadAll());
}
BENCHMARK(ReadAllFresh);

/// One sample of a watch, with its judgement.
void SampleOnce(benchmark::State& state) {
  const auto monitor = Monitor(0.1);
  SamplingPolicy policy{MemoryWatchOptions{}};
  int64_t now = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(policy.Take(*monitor, monitor->Sample(), now += 100'000'000));
  }
}
BENCHMARK(SampleOnce);

/// What a sampler at 10 Hz pays: after a sleep the caches are others'.
constexpr int64_t kSleepNs = 100'000'000;
constexpr int kWakes = 30;

void Sleep() {
  const timespec wait{0, kSleepNs};
  ::nanosleep(&wait, nullptr);
}

void SampleAfterSleep(benchmark::State& state) {
  const auto monitor = Monitor(0.1);
  SamplingPolicy policy{MemoryWatchOptions{}};
  int64_t now = 0;
  for (auto _ : state) {
    Sleep();
    benchmark::DoNotOptimize(policy.Take(*monitor, monitor->Sample(), now += kSleepNs));
  }
}
BENCHMARK(SampleAfterSleep)->Iterations(kWakes);

void NothingAfterSleep(benchmark::State& state) {
  for (auto _ : state) Sleep();
}
BENCHMARK(NothingAfterSleep)->Iterations(kWakes);

/// Descriptors of files that exist.
std::vector<int> Open(const std::vector<std::string>& paths) {
  std::vector<int> out;
  for (const std::string& path : paths) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) out.push_back(fd);
  }
  return out;
}

void PreadAll(benchmark::State& state, const std::vector<std::string>& paths,
              bool after_sleep = false) {
  const std::vector<int> fds = Open(paths);
  std::array<char, 8192> buffer;
  for (auto _ : state) {
    if (after_sleep) Sleep();
    for (const int fd : fds) {
      benchmark::DoNotOptimize(::pread(fd, buffer.data(), buffer.size(), 0));
    }
  }
  state.counters["files"] = static_cast<double>(fds.size());
  for (const int fd : fds) ::close(fd);
}

CgroupLocation Here() {
  int error = 0;
  return LocateCgroup(ReadWholeFile(KernelCalls::Native(), "/proc/self/cgroup", &error),
                      ReadWholeFile(KernelCalls::Native(), "/proc/self/mountinfo", &error));
}

/// The limits of all levels, and what is charged and counted at the levels that have one.
void AddCgroup(bool with_counts, std::vector<std::string>* out) {
  for (const std::string& directory : Here().directories) {
    const std::string v1 = directory + "/memory.limit_in_bytes";
    const std::string v2 = directory + "/memory.max";
    const bool is_v1 = ::access(v1.c_str(), R_OK) == 0;
    // The root of a v1 hierarchy cannot have a limit.
    if (::access((directory + "/release_agent").c_str(), F_OK) == 0) continue;
    out->push_back(is_v1 ? v1 : v2);
    std::array<char, 64> text{};
    KeptFile file(KernelCalls::Native(), out->back());
    const std::string limit(file.Read(text).text);
    if (!with_counts || limit.empty() || limit.starts_with("max") || limit.size() > 15) continue;
    if (is_v1) {
      for (const char* name : {"usage_in_bytes", "stat", "kmem.usage_in_bytes"}) {
        out->push_back(directory + "/memory." + name);
      }
    } else {
      for (const char* name : {"current", "stat"}) out->push_back(directory + "/memory." + name);
    }
  }
}

void BareStatus(benchmark::State& state) {
  std::vector<std::string> paths{"/proc/self/statm", "/proc/meminfo"};
  AddCgroup(true, &paths);
  PreadAll(state, paths);
}
BENCHMARK(BareStatus);

void BareAfterSleep(benchmark::State& state) {
  std::vector<std::string> paths{"/proc/self/statm", "/proc/meminfo"};
  AddCgroup(true, &paths);
  PreadAll(state, paths, true);
}
BENCHMARK(BareAfterSleep)->Iterations(kWakes);

void BareSnapshot(benchmark::State& state) {
  std::vector<std::string> paths{"/proc/self/status", "/proc/meminfo"};
  AddCgroup(true, &paths);
  const CgroupLocation here = Here();
  if (here.version == CgroupVersion::kV2) {
    for (const std::string& directory : here.directories)
      paths.push_back(directory + "/memory.high");
  }
  if (!here.directories.empty()) {
    const char* kills =
        here.version == CgroupVersion::kV1 ? "/memory.oom_control" : "/memory.events";
    paths.push_back(here.directories.front() + kills);
  }
  const std::string own = here.pressure_directory + "/memory.pressure";
  const bool has_own = !here.pressure_directory.empty() && ::access(own.c_str(), R_OK) == 0;
  paths.push_back(has_own ? own : "/proc/pressure/memory");
  PreadAll(state, paths);
}
BENCHMARK(BareSnapshot);

}  // namespace
}  // namespace floodwall

BENCHMARK_MAIN();

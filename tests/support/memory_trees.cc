#include "support/memory_trees.h"

#include <cstdlib>

#include "support/kernel_files.h"

namespace floodwall::testing {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

constexpr char kV2Mount[] =
    "24 29 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n"
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate,memory_recursiveprot\n";

MemoryTree::Expected HostOnly(std::string pressure) {
  return {.limit = 65536,
          .limit_source = "/proc/meminfo",
          .used = 65536 - 49152,
          .available = 49152,
          .available_source = "/proc/meminfo",
          .pressure_source = std::move(pressure)};
}

MemoryTree DockerV1() {
  return {
      .name = "docker_v1",
      .files =
          kProcess + kHost +
          Self("12:pids:/docker/8f3c\n11:memory:/docker/8f3c\n10:cpu,cpuacct:/docker/8f3c\n"
               "1:name=systemd:/docker/8f3c\n0::/system.slice/containerd.service\n",
               "1520 1519 0:134 / /proc rw,nosuid - proc proc rw\n"
               "1524 1521 0:137 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755\n"
               "1528 1524 0:35 /docker/8f3c /sys/fs/cgroup/memory ro,nosuid master:19 - "
               "cgroup cgroup rw,memory\n"
               "1529 1524 0:36 /docker/8f3c /sys/fs/cgroup/cpu,cpuacct ro master:20 - cgroup "
               "cgroup rw,cpu,cpuacct\n") +
          V1("sys/fs/cgroup/memory", Bytes(512), Bytes(512),
             {.charged = 500, .anon = 100, .active_file = 130, .inactive_file = 250, .kernel = 6}),
      .expected = {.limit = 512,
                   .limit_source = "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                   .used = 120,  // 500 charged less 380 of files, above 106
                   .available = 392,
                   .available_source = "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                   .oom_kills = 2,
                   .pressure_source = "/proc/pressure/memory"}};
}

MemoryTree DockerV2Private() {
  return {.name = "docker_v2_private_namespace",
          .files = kProcess + kHost +
                   Self("0::/\n",
                        "1212 1211 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 "
                        "cgroup rw,nsdelegate,memory_recursiveprot\n") +
                   V2("sys/fs/cgroup", Bytes(1024),
                      {.charged = 1000,
                       .anon = 300,
                       .active_file = 600,
                       .inactive_file = 70,
                       .kernel = 20,
                       .slab_reclaimable = 12}),
          .expected = {.limit = 1024,
                       .limit_source = "/sys/fs/cgroup/memory.max",
                       .used = 318,  // 1000 - 670 - 12, above 300 + 20 - 12
                       .available = 706,
                       .available_source = "/sys/fs/cgroup/memory.max",
                       .oom_kills = 2,
                       .pressure_source = "/sys/fs/cgroup/memory.pressure"}};
}

MemoryTree DockerV2Host() {
  const std::string scope = "sys/fs/cgroup/system.slice/docker-8f3c.scope";
  return {.name = "docker_v2_host_namespace",
          .files = kProcess + kHost + Self("0::/system.slice/docker-8f3c.scope\n", kV2Mount) +
                   V2(scope, Bytes(2048),
                      {.charged = 2000,
                       .anon = 1900,
                       .inactive_file = 90,
                       .kernel = 10,
                       .slab_reclaimable = 5}) +
                   V2("sys/fs/cgroup/system.slice", "max", {.charged = 9000, .anon = 8000}),
          .expected = {.limit = 2048,
                       .limit_source = "/" + scope + "/memory.max",
                       .used = 1905,
                       .available = 143,
                       .available_source = "/" + scope + "/memory.max",
                       .oom_kills = 2,
                       .pressure_source = "/" + scope + "/memory.pressure"}};
}

MemoryTree KubernetesV1() {
  // The container itself is not limited, its pod is: above the mount, out of sight.
  const std::string path =
      "/system.slice/containerd.service/kubepods-burstable-pod1f2e.slice:cri-containerd:77ab";
  return {.name = "kubernetes_v1_colons",
          .files = kProcess + kHost +
                   Self("11:memory:" + path + "\n3:cpu,cpuacct:" + path + "\n0::/\n",
                        "2100 2099 0:33 " + path +
                            " /sys/fs/cgroup/memory ro,nosuid master:17 - cgroup cgroup "
                            "rw,memory\n") +
                   V1("sys/fs/cgroup/memory", kSentinel, Bytes(300),
                      {.charged = 200, .anon = 90, .inactive_file = 100, .kernel = 4}),
          .expected = {.limit = 300,
                       .limit_source = "/sys/fs/cgroup/memory/memory.stat",
                       .used = 100,
                       .available = 200,
                       .available_source = "/sys/fs/cgroup/memory/memory.stat",
                       .oom_kills = 2,
                       .pressure_source = "/proc/pressure/memory"}};
}

MemoryTree KubernetesV2() {
  // The container has the lower limit, but its siblings have nearly filled the pod.
  const std::string pod =
      "sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice";
  const std::string leaf = pod + "/cri-containerd-77ab.scope";
  return {
      .name = "kubernetes_v2_nested",
      .files = kProcess + kHost +
               Self("0::/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/"
                    "cri-containerd-77ab.scope\n",
                    kV2Mount) +
               V2(leaf, Bytes(1024), {.charged = 400, .anon = 390, .kernel = 10}) +
               V2(pod, Bytes(1536), {.charged = 1500, .anon = 1480, .kernel = 20}) +
               V2("sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice", "max",
                  {.charged = 9000, .anon = 9000}) +
               V2("sys/fs/cgroup/kubepods.slice", Bytes(60000), {.charged = 9000, .anon = 9000}),
      .expected = {.limit = 1024,
                   .limit_source = "/" + leaf + "/memory.max",
                   .used = 400,
                   .available = 36,
                   .available_source = "/" + pod + "/memory.max",
                   .oom_kills = 2,
                   .pressure_source = "/" + leaf + "/memory.pressure"}};
}

MemoryTree MovedAcrossNamespaces() {
  auto tree = DockerV2Private();
  tree.name = "moved_across_cgroup_namespaces";
  tree.files["proc/self/cgroup"] = "0::/../../kubepods-besteffort.slice/x.scope\n";
  return tree;
}

MemoryTree SystemdSlice() {
  const std::string slice = "sys/fs/cgroup/batch.slice/batch-nightly.slice";
  auto files = kProcess + kHost +
               Self("0::/batch.slice/batch-nightly.slice/job@1.service\n", kV2Mount) +
               V2(slice + "/job@1.service", "max", {.charged = 700, .anon = 600, .kernel = 4}) +
               V2(slice, Bytes(4096),
                  {.charged = 3000,
                   .anon = 2500,
                   .active_file = 400,
                   .kernel = 60,
                   .slab_reclaimable = 30}) +
               V2("sys/fs/cgroup/batch.slice", Bytes(32768), {.charged = 9000, .anon = 9000});
  files[slice + "/memory.high"] = Bytes(3072);
  return {.name = "systemd_slice_limit_in_the_middle",
          .files = files,
          .expected = {.limit = 4096,
                       .limit_source = "/" + slice + "/memory.max",
                       .used = 2570,  // 3000 - 400 - 30
                       .available = 1526,
                       .available_source = "/" + slice + "/memory.max",
                       .soft_limit = 3072,
                       .oom_kills = 2,
                       .pressure_source = "/" + slice + "/job@1.service/memory.pressure"}};
}

MemoryTree SlurmV1() {
  const std::string job = "sys/fs/cgroup/memory/slurm/uid_1000/job_42";
  const Content little{.charged = 100, .anon = 100};
  return {.name = "slurm_step_v1",
          .files = kProcess + kHost +
                   Self("9:memory:/slurm/uid_1000/job_42/step_0/task_0\n"
                        "4:freezer:/slurm/uid_1000/job_42/step_0\n",
                        "40 32 0:35 / /sys/fs/cgroup/memory rw,nosuid shared:17 - cgroup cgroup "
                        "rw,memory\n") +
                   V1(job + "/step_0/task_0", kSentinel, Bytes(8000), little) +
                   V1(job + "/step_0", Bytes(8000), Bytes(8000), little) +
                   V1(job, Bytes(8000), Bytes(8000), {.charged = 7000, .anon = 6900}) +
                   V1("sys/fs/cgroup/memory/slurm", kSentinel, kSentinel, little) +
                   V1("sys/fs/cgroup/memory", kSentinel, kSentinel, little),
          .environment = {{"SLURM_MEM_PER_NODE", "8000"}},
          .expected = {.limit = 8000,
                       .limit_source = "/" + job + "/step_0/memory.limit_in_bytes",
                       .used = 100,
                       .available = 1000,
                       .available_source = "/" + job + "/memory.limit_in_bytes",
                       .oom_kills = 2,
                       .pressure_source = "/proc/pressure/memory"}};
}

MemoryTree SlurmV2() {
  const std::string job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_42";
  return {.name = "slurm_step_v2",
          .files = kProcess + kHost +
                   Self("0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0\n", kV2Mount) +
                   V2(job + "/step_0/user/task_0", "max", {.charged = 50, .anon = 50}) +
                   V2(job + "/step_0/user", "max", {.charged = 50, .anon = 50}) +
                   V2(job + "/step_0", "max", {.charged = 60, .anon = 60}) +
                   V2(job, Bytes(2000), {.charged = 500, .anon = 450, .active_file = 50}),
          .environment = {{"SLURM_MEM_PER_NODE", "1900"}},
          .expected = {.limit = 2000,  // the kernel's, not the announced one
                       .limit_source = "/" + job + "/memory.max",
                       .used = 450,
                       .available = 1550,
                       .available_source = "/" + job + "/memory.max",
                       .oom_kills = 2,
                       .pressure_source = "/" + job + "/step_0/user/task_0/memory.pressure"}};
}

MemoryTree SlurmHidden() {
  return {.name = "slurm_without_cgroup",
          .files = kProcess + kHost + Self("0::/\n", ""),
          .environment = {{"SLURM_MEM_PER_NODE", "1900"}},
          .expected = {.limit = 1900,
                       .limit_source = "$SLURM_MEM_PER_NODE",
                       .used = 4,
                       .available = 1896,
                       .available_source = "$SLURM_MEM_PER_NODE",
                       .pressure_source = "/proc/pressure/memory"}};
}

MemoryTree Hybrid() {
  return {
      .name = "hybrid",
      .files =
          kProcess + kHost +
          Self("4:memory:/job\n1:name=systemd:/x\n0::/x\n",
               "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
               "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n") +
          V1("sys/fs/cgroup/memory/job", Bytes(640), Bytes(640),
             {.charged = 600, .anon = 100, .active_file = 480, .kernel = 10, .unevictable = 30}) +
          V1("sys/fs/cgroup/memory", kSentinel, kSentinel, {.charged = 9000}) +
          Files{{"sys/fs/cgroup/unified/x/memory.pressure",
                 "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                 "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"}},
      .expected = {.limit = 640,
                   .limit_source = "/sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                   .used = 140,  // locked pages count
                   .available = 500,
                   .available_source = "/sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                   .oom_kills = 2,
                   .pressure_source = "/sys/fs/cgroup/unified/x/memory.pressure"}};
}

MemoryTree LxcWithLxcfs() {
  // meminfo is the container's, and takes its tmpfs for cache; MemTotal is the limit itself.
  return {.name = "lxc_with_lxcfs",
          .files = kProcess + Meminfo(2048, 1900) +
                   Self("0::/.lxc\n",
                        "98 97 0:50 /proc/meminfo /proc/meminfo rw,nosuid - fuse.lxcfs lxcfs rw\n"
                        "99 97 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 none rw,nsdelegate\n") +
                   V2("sys/fs/cgroup/.lxc", "max", {.charged = 1000, .anon = 800}) +
                   V2("sys/fs/cgroup", Bytes(2048),
                      {.charged = 1000,
                       .anon = 800,
                       .inactive_file = 150,
                       .kernel = 20,
                       .slab_reclaimable = 12}),
          .expected = {.limit = 2048,
                       .limit_source = "/sys/fs/cgroup/memory.max",
                       .used = 838,
                       .available = 1210,
                       .available_source = "/sys/fs/cgroup/memory.max",
                       .oom_kills = 2,
                       .pressure_source = "/sys/fs/cgroup/.lxc/memory.pressure"}};
}

MemoryTree PodmanRootless() {
  // Memory is not delegated below the user's slice: no memory files there.
  const std::string user = "sys/fs/cgroup/user.slice/user-1000.slice";
  const std::string leaf = user + "/user@1000.service/user.slice/libpod-1a.scope/container";
  return {.name = "podman_rootless_without_delegation",
          .files = kProcess + kHost +
                   Self("0::/user.slice/user-1000.slice/user@1000.service/user.slice/"
                        "libpod-1a.scope/container\n",
                        kV2Mount) +
                   Files{{leaf + "/cgroup.procs", "1\n"},
                         {leaf + "/memory.pressure", "some avg10=0.10 total=0\n"}} +
                   V2(user, Bytes(8192), {.charged = 1000, .anon = 900}),
          .expected = {.limit = 8192,
                       .limit_source = "/" + user + "/memory.max",
                       .used = 1000,
                       .available = 7192,
                       .available_source = "/" + user + "/memory.max",
                       .pressure_source = "/" + leaf + "/memory.pressure"}};
}

MemoryTree GVisor() {
  // An emulated v1 controller without memory.stat; RssAnon and the peak are not there either.
  auto files = Meminfo(65536, 49152) +
               Self("4:memory:/\n2:cpu:/\n",
                    "12 8 0:5 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n") +
               Files{{"proc/self/statm", "5000 1024 0 0 0 0 0\n"},
                     {"proc/self/status", "Name:\tpython3\nVmSize:\t 20000 kB\nVmRSS:\t 4096 kB\n"},
                     {"sys/fs/cgroup/memory/memory.limit_in_bytes", Bytes(768) + "\n"},
                     {"sys/fs/cgroup/memory/memory.usage_in_bytes", Bytes(68) + "\n"}};
  return {.name = "gvisor",
          .files = files,
          .expected = {.limit = 768,
                       .limit_source = "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                       .used = 68,
                       .available = 700,
                       .available_source = "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                       .rss_source = "/proc/self/statm"}};
}

MemoryTree AwsLambda() {
  // The virtual machine is larger than the function, and shows no cgroup.
  return {.name = "aws_lambda",
          .files = kProcess + Meminfo(3008, 2900) +
                   Self("0::/\n", "1 0 259:0 / / ro - ext4 /dev/root ro\n"),
          .environment = {{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"}},
          .expected = {.limit = 512,
                       .limit_source = "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                       .used = 4,
                       .available = 508,
                       .available_source = "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE"}};
}

MemoryTree NoProc() {
  return {.name = "no_proc",
          .files = {},
          .system_info = {{4096 * kMiB, 1024 * kMiB, 0}},
          .expected = {.limit = 4096,
                       .limit_source = "sysinfo",
                       .used = 3072,
                       .available = 1024,
                       .available_source = "sysinfo",
                       .rss_source = ""}};
}

MemoryTree SubsetPid() {
  // /proc shows processes only; the cgroup still binds.
  return {.name = "proc_subset_pid",
          .files = kProcess + Self("0::/system.slice/hardened.service\n", kV2Mount) +
                   V2("sys/fs/cgroup/system.slice/hardened.service", Bytes(256),
                      {.charged = 250, .anon = 40, .inactive_file = 200, .kernel = 2}),
          .system_info = {{65536 * kMiB, 20000 * kMiB, 0}},
          .expected = {
              .limit = 256,
              .limit_source = "/sys/fs/cgroup/system.slice/hardened.service/memory.max",
              .used = 50,
              .available = 206,
              .available_source = "/sys/fs/cgroup/system.slice/hardened.service/memory.max",
              .oom_kills = 2,
              .pressure_source = "/sys/fs/cgroup/system.slice/hardened.service/memory.pressure"}};
}

MemoryTree NoCgroupMount() {
  return {.name = "no_cgroup_mount",
          .files = kProcess + kHost +
                   Self("0::/system.slice/job.service\n", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"),
          .expected = HostOnly("/proc/pressure/memory")};
}

MemoryTree RootOfV2() {
  // WSL2 and hosts without containers: the root has memory.stat, but no limit and no charge.
  return {.name = "root_of_v2",
          .files = kProcess + kHost + Self("0::/\n", kV2Mount) +
                   Files{{"sys/fs/cgroup/memory.stat", "anon 1\n"}},
          .expected = HostOnly("/proc/pressure/memory")};
}

}  // namespace

std::vector<MemoryTree> MemoryTrees() {
  return {DockerV1(),       DockerV2Private(), DockerV2Host(),
          KubernetesV1(),   KubernetesV2(),    MovedAcrossNamespaces(),
          SystemdSlice(),   SlurmV1(),         SlurmV2(),
          SlurmHidden(),    Hybrid(),          LxcWithLxcfs(),
          PodmanRootless(), GVisor(),          AwsLambda(),
          NoProc(),         SubsetPid(),       NoCgroupMount(),
          RootOfV2()};
}

MemoryTree MemoryTreeNamed(const std::string& name) {
  for (MemoryTree& tree : MemoryTrees()) {
    if (tree.name == name) return std::move(tree);
  }
  std::abort();
}

}  // namespace floodwall::testing

/// How resident memory follows a pool's bytes: the same work on each allocator, in a child each.
///
/// The work keeps at most 256 MiB of blocks of 4 KiB to 16 MiB (evenly by order of magnitude), all
/// touched, a fifth of them grown by half, freed in random order; at the end all but one block in
/// a hundred is freed. Printed are the most anonymous memory seen above the start, and what is left
/// at the end, against the pool's own bytes at that moment, and the CPU time.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arrow/memory_pool.h"
#include "floodwall/bytes.h"
#include "floodwall/guarded_pool.h"
#include "pool/mapped_pool.h"

namespace floodwall {
namespace {

constexpr int64_t kCap = 256 * kMiB;
constexpr int kRequests = 40000;

int64_t AnonymousBytes() {
  char text[4096];
  const int fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  const ssize_t length = ::read(fd, text, sizeof(text) - 1);
  ::close(fd);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char* line = std::strstr(text, "RssAnon:");
  return line == nullptr ? 0 : std::strtoll(line + 8, nullptr, 10) * kKiB;
}

struct Block {
  uint8_t* data;
  int64_t size;
};

void Touch(const Block& block, int64_t from) {
  for (int64_t at = from; at < block.size; at += 4096) block.data[at] = 1;
}

void Work(const char* name, GuardedPool* pool) {
  std::mt19937_64 random(1);
  std::vector<Block> blocks;
  const int64_t before = AnonymousBytes();
  int64_t most = 0;
  int64_t most_held = 0;
  const auto free_one = [&](size_t i) {
    pool->Free(blocks[i].data, blocks[i].size, 64);
    blocks[i] = blocks.back();
    blocks.pop_back();
  };
  for (int i = 0; i < kRequests; ++i) {
    const double exponent = std::uniform_real_distribution<>(12, 24)(random);
    Block block{nullptr, static_cast<int64_t>(std::exp2(exponent))};
    while (!pool->Allocate(block.size, 64, &block.data).ok()) free_one(random() % blocks.size());
    Touch(block, 0);
    if (random() % 5 == 0) {
      const int64_t grown = block.size * 3 / 2;
      if (pool->Reallocate(block.size, grown, 64, &block.data).ok()) {
        Touch({block.data, grown}, block.size);
        block.size = grown;
      }
    }
    blocks.push_back(block);
    if (i % 200 == 0) {
      const int64_t now = AnonymousBytes() - before;
      if (now > most) {
        most = now;
        most_held = pool->bytes_allocated();
      }
    }
  }
  for (size_t i = blocks.size(); i-- > 0;) {
    if (i % 100 != 0) free_one(i);
  }
  const int64_t left = AnonymousBytes() - before;
  const int64_t left_held = pool->bytes_allocated();
  rusage used;
  ::getrusage(RUSAGE_SELF, &used);
  const double seconds = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / kMiB; };
  std::printf("| %s | %.0f | %.0f | %.2f | %.0f | %.0f | %.2f |\n", name, mib(most), mib(most_held),
              mib(most) / mib(most_held), mib(left), mib(left_held), seconds);
  std::fflush(stdout);
}

void InChild(const char* name, GuardedPool* (*make)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    Work(name, make());
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}

GuardedPool* Over(arrow::MemoryPool* upstream) {
  return GuardedPool::Make(Budget::Make("bench", kCap), OnExceed::kDeny, upstream);
}

GuardedPool* Mimalloc() {
  arrow::MemoryPool* pool = nullptr;
  if (!arrow::mimalloc_memory_pool(&pool).ok()) pool = arrow::default_memory_pool();
  return Over(pool);
}
GuardedPool* Jemalloc() {
  arrow::MemoryPool* pool = nullptr;
  if (!arrow::jemalloc_memory_pool(&pool).ok()) pool = arrow::default_memory_pool();
  return Over(pool);
}
GuardedPool* Malloc() { return Over(arrow::system_memory_pool()); }
GuardedPool* Mapped() {
  auto budget = Budget::Make("bench", kCap);
  return GuardedPool::Make(budget, OnExceed::kDeny, MappedPool::Make(budget));
}

}  // namespace
}  // namespace floodwall

int main() {
  std::puts(
      "| blocks from | most anonymous MiB | pool's MiB then | ratio | at the end MiB | "
      "pool's MiB | CPU s |\n|---|---|---|---|---|---|---|");
  floodwall::InChild("mimalloc (pyarrow's default)", &floodwall::Mimalloc);
  floodwall::InChild("jemalloc", &floodwall::Jemalloc);
  floodwall::InChild("malloc of glibc", &floodwall::Malloc);
  floodwall::InChild("mapped blocks (the merge's)", &floodwall::Mapped);
  return 0;
}

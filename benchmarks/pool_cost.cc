/// What a guarded pool costs, how far it overshoots, and whom it refuses without need.
///
/// BM_Touched: one allocation of 64 KiB, every page of it written, and its release, on each of n
/// threads, through the upstream allocator and four pools around it.
/// BM_Contended: n threads fill a pool to its limit and give back; the overshoot is what was held
/// at once beyond the limit, a denial is spurious when what was asked for would have fitted.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include "arrow/memory_pool.h"
#include "floodwall/guarded_pool.h"
#include "floodwall/limit_scope.h"

namespace floodwall {
namespace {

constexpr int64_t kBlock = 64 << 10;

arrow::MemoryPool* Upstream() { return arrow::default_memory_pool(); }

arrow::MemoryPool* Proxy() {
  static auto* const pool = new arrow::ProxyMemoryPool(Upstream());
  return pool;
}

arrow::MemoryPool* Capped() {
  static auto* const pool = new arrow::CappedMemoryPool(Upstream(), int64_t{8} << 30);
  return pool;
}

arrow::MemoryPool* Guarded() {
  static auto* const pool = GuardedPool::Make(Budget::Make("bench", int64_t{8} << 30));
  return pool;
}

arrow::MemoryPool* Limited() {
  static const auto scope = LimitScope::Enter("bench", int64_t{8} << 30, OnExceed::kDeny);
  return RoutingPool::Instance();
}

void BM_Touched(benchmark::State& state, arrow::MemoryPool* (*make)()) {
  arrow::MemoryPool* pool = make();
  for (auto _ : state) {
    uint8_t* block = nullptr;
    if (!pool->Allocate(kBlock, 64, &block).ok()) {
      state.SkipWithError("denied");
      break;
    }
    for (int64_t at = 0; at < kBlock; at += 64) block[at] = 1;
    benchmark::DoNotOptimize(block);
    pool->Free(block, kBlock, 64);
  }
}

#define TOUCHED(name)                        \
  BENCHMARK_CAPTURE(BM_Touched, name, &name) \
      ->Threads(1)                           \
      ->Threads(2)                           \
      ->Threads(8)                           \
      ->Threads(64)                          \
      ->UseRealTime()
TOUCHED(Upstream);
TOUCHED(Proxy);
TOUCHED(Capped);
TOUCHED(Guarded);
TOUCHED(Limited);

constexpr int64_t kLimit = 64 * kBlock;

/// Held bytes as the benchmark itself counts them: `held` holds blocks that are there (added after
/// the allocation, taken off before the release), `claimed` also those about to be (added before).
struct Truth {
  std::atomic<int64_t> held{0};
  std::atomic<int64_t> most_held{0};
  std::atomic<int64_t> claimed{0};
  std::atomic<int64_t> asked{0};
  std::atomic<int64_t> denied{0};
  std::atomic<int64_t> spurious{0};
};

template <typename MakePool>
void Contend(benchmark::State& state, MakePool make) {
  static Truth* truth = nullptr;
  static arrow::MemoryPool* pool = nullptr;
  if (state.thread_index() == 0) {
    truth = new Truth();
    pool = make();
  }
  std::mt19937 random(static_cast<unsigned>(state.thread_index()));
  for (auto _ : state) {
    // Mostly small requests, now and then one that cannot fit beside the others.
    const int64_t size = random() % 8 == 0 ? kLimit / 2 : kBlock;
    truth->claimed.fetch_add(size);
    const int64_t ticket = truth->asked.fetch_add(1) + 1;
    const int64_t claimed = truth->claimed.load();
    uint8_t* block = nullptr;
    if (pool->Allocate(size, 64, &block).ok()) {
      const int64_t held = truth->held.fetch_add(size) + size;
      int64_t most = truth->most_held.load();
      while (held > most && !truth->most_held.compare_exchange_weak(most, held)) {
      }
      benchmark::DoNotOptimize(block);
      truth->held.fetch_sub(size);
      pool->Free(block, size, 64);
    } else {
      truth->denied.fetch_add(1, std::memory_order_relaxed);
      // Nobody has asked since, and with all that had been claimed it would have fitted.
      if (claimed <= kLimit && truth->asked.load() == ticket)
        truth->spurious.fetch_add(1, std::memory_order_relaxed);
    }
    truth->claimed.fetch_sub(size);
  }
  if (state.thread_index() == 0) {
    state.counters["overshoot_KiB"] =
        static_cast<double>(std::max<int64_t>(0, truth->most_held - kLimit)) / 1024;
    state.counters["denied"] = static_cast<double>(truth->denied) /
                               static_cast<double>(std::max<int64_t>(1, truth->asked));
    state.counters["spurious"] = static_cast<double>(truth->spurious);
  }
}

void BM_ContendedCapped(benchmark::State& state) {
  Contend(state, [] {
    return static_cast<arrow::MemoryPool*>(
        new arrow::CappedMemoryPool(new arrow::ProxyMemoryPool(Upstream()), kLimit));
  });
}
void BM_ContendedGuarded(benchmark::State& state) {
  Contend(state, [] {
    return static_cast<arrow::MemoryPool*>(GuardedPool::Make(Budget::Make("bench", kLimit)));
  });
}
BENCHMARK(BM_ContendedCapped)->Threads(2)->Threads(8)->Threads(64)->UseRealTime();
BENCHMARK(BM_ContendedGuarded)->Threads(2)->Threads(8)->Threads(64)->UseRealTime();

}  // namespace
}  // namespace floodwall

BENCHMARK_MAIN();

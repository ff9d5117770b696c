// Works in a pool with an exact cap, and says who holds what when it is not enough.
#include <arrow/buffer.h>
#include <floodwall/bytes.h>
#include <floodwall/error.h>
#include <floodwall/guarded_pool.h>

#include <iostream>

int main() {
  const auto budget = floodwall::Budget::Make("service", 64 * floodwall::kMiB);
  auto* cache = floodwall::GuardedPool::Make(
      floodwall::Budget::Make("cache", floodwall::Budget::kUnlimited, budget));
  auto* query = floodwall::GuardedPool::Make(
      floodwall::Budget::Make("query", floodwall::Budget::kUnlimited, budget));

  const auto held = arrow::AllocateBuffer(40 * floodwall::kMiB, cache);
  const auto refused = arrow::AllocateBuffer(32 * floodwall::kMiB, query);
  if (!held.ok() || refused.ok()) return 1;

  const auto* facts = floodwall::ErrorDetail::From(refused.status());
  if (facts == nullptr) return 1;
  std::cout << floodwall::FormatBytes(facts->requested_bytes) << " refused, limit "
            << floodwall::FormatBytes(facts->limit_bytes) << "\n";
  for (const auto& [name, bytes] : facts->holders)
    std::cout << "  " << name << " holds " << floodwall::FormatBytes(bytes) << "\n";
  return 0;
}

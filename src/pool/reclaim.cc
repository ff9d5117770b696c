#include "floodwall/reclaim.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

namespace floodwall {
namespace {

struct Entry {
  int64_t id;
  int priority;
  std::shared_ptr<const Reclaimer> callback;
};

/// Never destroyed: threads may allocate while the process ends.
struct Registry {
  std::mutex mutex;
  std::vector<Entry> entries;  // the highest priority first, then the oldest
  std::atomic<int64_t> count{0};
  int64_t next_id = 1;

  /// Whose turn it is to run callbacks. No mutex is held meanwhile: a callback may do anything.
  std::mutex turn_mutex;
  std::condition_variable turn_ended;
  bool taken = false;

  bool TakeTurn() {
    std::unique_lock lock(turn_mutex);
    if (!turn_ended.wait_for(lock, kReclaimPatience, [this] { return !taken; })) return false;
    taken = true;
    return true;
  }
  void EndTurn() {
    {
      std::lock_guard lock(turn_mutex);
      taken = false;
    }
    turn_ended.notify_one();
  }
};

Registry& TheRegistry() {
  static auto* const registry = new Registry();
  return *registry;
}

thread_local bool inside_reclaimer = false;

}  // namespace

ReclaimerRegistration::ReclaimerRegistration(Reclaimer callback, int priority) {
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  id_ = registry.next_id++;
  const auto after =
      std::find_if(registry.entries.begin(), registry.entries.end(),
                   [priority](const Entry& entry) { return entry.priority < priority; });
  registry.entries.insert(
      after, Entry{id_, priority, std::make_shared<const Reclaimer>(std::move(callback))});
  registry.count.fetch_add(1);
}

ReclaimerRegistration::~ReclaimerRegistration() {
  Registry& registry = TheRegistry();
  std::shared_ptr<const Reclaimer> last;  // destroyed outside the lock
  std::lock_guard lock(registry.mutex);
  const auto found = std::find_if(registry.entries.begin(), registry.entries.end(),
                                  [this](const Entry& entry) { return entry.id == id_; });
  last = std::move(found->callback);
  registry.entries.erase(found);
  registry.count.fetch_sub(1);
}

bool Reclaim(int64_t bytes_wanted, const std::function<bool()>& fits) {
  Registry& registry = TheRegistry();
  if (inside_reclaimer || registry.count.load(std::memory_order_relaxed) == 0) return false;
  if (!registry.TakeTurn()) return fits();
  struct Turn {
    Registry& registry;
    ~Turn() { registry.EndTurn(); }
  } turn{registry};
  // Whoever ran before may have freed enough for both.
  if (fits()) return true;
  std::vector<Entry> entries;
  {
    std::lock_guard lock(registry.mutex);
    entries = registry.entries;
  }
  for (const Entry& entry : entries) {
    inside_reclaimer = true;
    try {
      (*entry.callback)(bytes_wanted);
    } catch (...) {  // a cache that fails to shrink must not turn a denial into a crash
    }
    inside_reclaimer = false;
    if (fits()) return true;
  }
  return false;
}

}  // namespace floodwall

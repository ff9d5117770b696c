#include "probe/memory_events.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#ifdef __linux__
#include "probe/linux/memory_events.h"
#endif

namespace floodwall {
namespace {

class TimedEvents final : public MemoryEvents {
 public:
  int64_t Now() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  Wake Wait(int64_t timeout_ns) override {
    std::unique_lock guard(lock_);
    changed_.wait_for(guard, std::chrono::nanoseconds(timeout_ns), [this] { return interrupted_; });
    return std::exchange(interrupted_, false) ? Wake::kInterrupt : Wake::kTime;
  }
  void Interrupt() override {
    {
      const std::lock_guard guard(lock_);
      interrupted_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<MemoryEvents> MemoryEvents::Timed() { return std::make_unique<TimedEvents>(); }

std::unique_ptr<MemoryEvents> MemoryEvents::Native() {
#ifdef __linux__
  if (auto events = MakeLinuxMemoryEvents()) return events;
#endif
  return Timed();
}

}  // namespace floodwall

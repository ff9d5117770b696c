#include "base/fork_epoch.h"

#include <atomic>

#ifndef _WIN32
#include <pthread.h>
#endif

namespace floodwall {
namespace {

std::atomic<uint64_t> epoch{0};

std::mutex& MakeMutex() {
  // Never destroyed: threads may still read memory while the process exits.
  static auto* mutex = new std::mutex;
#ifndef _WIN32
  static const int registered = pthread_atfork([] { mutex->lock(); }, [] { mutex->unlock(); },
                                               [] {
                                                 mutex->unlock();
                                                 epoch.fetch_add(1, std::memory_order_relaxed);
                                               });
  static_cast<void>(registered);
#endif
  return *mutex;
}

// At load, before anybody can fork unseen.
[[maybe_unused]] std::mutex& made_at_load = MakeMutex();

}  // namespace

uint64_t ForkEpoch() { return epoch.load(std::memory_order_relaxed); }

std::mutex& ForkSafeMutex() { return MakeMutex(); }

}  // namespace floodwall

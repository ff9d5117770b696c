#pragma once

/// Asks those who can free memory before a request is denied.
///
/// A cache registers a callback; Budget calls the callbacks, the highest priority first, when a
/// reservation does not fit, and looks for itself after each whether it fits now.
///
/// Threading: any thread. One thread runs callbacks at a time, holding no lock that an allocation
/// takes; others wait for it at most kReclaimPatience and are then denied. A callback that
/// allocates is never called from its own allocation. Errors: what a callback throws is dropped;
/// what it returns is not trusted. Units: bytes. Lifetime: until the registration is destroyed; a
/// callback may still be running then.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "floodwall/export.h"

namespace floodwall {

inline constexpr std::chrono::milliseconds kReclaimPatience{1000};

/// Frees about `bytes_wanted` and returns how much it believes it has freed.
using Reclaimer = std::function<int64_t(int64_t bytes_wanted)>;

/// Keeps a callback registered.
class FLOODWALL_EXPORT ReclaimerRegistration {
 public:
  ReclaimerRegistration(Reclaimer callback, int priority);
  ~ReclaimerRegistration();
  ReclaimerRegistration(const ReclaimerRegistration&) = delete;
  ReclaimerRegistration& operator=(const ReclaimerRegistration&) = delete;

 private:
  int64_t id_;
};

/// Calls reclaimers until `fits` returns true; false when none is left, when this thread is inside
/// a reclaimer, or when another thread's took too long.
FLOODWALL_EXPORT bool Reclaim(int64_t bytes_wanted, const std::function<bool()>& fits);

}  // namespace floodwall

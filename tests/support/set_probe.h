#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include "floodwall/probe.h"

namespace floodwall::testing {

/// A probe that says what a test sets.
class SetProbe final : public MemoryProbe {
 public:
  std::atomic<int64_t> rss = int64_t{100} << 20;
  std::atomic<int64_t> available = int64_t{10'000} << 20;
  std::atomic<int> reads = 0;
  std::atomic<int64_t> asked_enough = -1;
  std::string_view source = "set";

  bool has_sources() const override { return true; }
  Reading ReadResident() override {
    ++reads;
    return {rss, rss < 0 ? EACCES : 0, source};
  }
  Reading ReadAvailable(int64_t enough, bool* exact) override {
    asked_enough = enough;
    *exact = enough > available;
    return {available, available < 0 ? EACCES : 0, source};
  }
  MemoryReadings ReadAll() override {
    MemoryReadings out;
    out.rss = ReadResident();
    bool exact;
    out.available = ReadAvailable(0, &exact);
    return out;
  }
};

}  // namespace floodwall::testing

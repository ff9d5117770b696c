#pragma once

/// Who was admitted under one budget, and who waits, in the order of their coming.
///
/// Threading: every method locks. Lifetime: owned by its budget.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace floodwall {

class Budget;

struct AdmissionQueue {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<Budget>> admitted;
  std::deque<int64_t> waiting;  // tickets
  int64_t next_ticket = 0;
};

}  // namespace floodwall

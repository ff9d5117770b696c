#pragma once

/// Lets operations that share a budget start only when what they need is there.
///
/// Each says its need and waits its turn; once admitted it has a budget of its own whose limit is
/// that need. As long as everybody under the budget was admitted, nobody is denied what he asked.
///
/// Threading: any thread. Errors: kMemoryLimitTooSmall when the need exceeds the limit, so that no
/// wait could help; OutOfMemory naming who was admitted with what when the time is up; Cancelled.
/// Units: bytes. Lifetime: an admission ends when it is destroyed; memory of its budget may live
/// on, and keeps others waiting until it is freed.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "arrow/result.h"
#include "floodwall/budget.h"
#include "floodwall/export.h"

namespace floodwall {

class FLOODWALL_EXPORT Admission {
 public:
  /// Waits until `need_bytes` are free of admissions and of other use, first come, first served;
  /// at most `timeout`. `cancelled`, when given, is asked about every 20 ms.
  static arrow::Result<std::unique_ptr<Admission>> Wait(
      std::shared_ptr<Budget> budget, std::string name, int64_t need_bytes,
      std::chrono::milliseconds timeout, const std::function<bool()>& cancelled = {});
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  /// A child of the shared budget with the need as its limit.
  const std::shared_ptr<Budget>& budget() const { return budget_; }

 private:
  Admission(std::shared_ptr<Budget> shared, std::shared_ptr<Budget> own);
  const std::shared_ptr<Budget> shared_;
  const std::shared_ptr<Budget> budget_;
};

}  // namespace floodwall

#pragma once

/// Which limit scope each thread is in, and when a scope may be deleted.
///
/// A thread names the scope it is about to touch in its hazard pointer; a scope is deleted once it
/// was left, has no block, no handle and is in nobody's hazard.
///
/// Threading: Current and Touch take no lock; everything else locks the registry for a moment.
/// Lifetime: the registry and the records of threads are never destroyed, records are reused.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arrow/status.h"
#include "floodwall/budget.h"
#include "floodwall/guarded_pool.h"

namespace floodwall {

/// What blocks are charged to.
class ChargedScope {
 public:
  ChargedScope(std::shared_ptr<Budget> budget, OnExceed on_exceed)
      : budget_(std::move(budget)), on_exceed_(on_exceed) {}

  /// Charges, or fails, or charges nevertheless (see LimitScope).
  arrow::Status Charge(int64_t bytes);
  void Discharge(int64_t bytes) noexcept { budget_->Release(bytes); }
  arrow::Status last_refusal() const;

  const std::shared_ptr<Budget>& budget() const { return budget_; }

  std::atomic<int64_t> blocks{0};
  std::atomic<int64_t> denied{0};
  std::atomic<int64_t> overdrafts{0};
  // Guarded by the registry.
  bool entered = true;
  bool has_handle = true;

 private:
  const std::shared_ptr<Budget> budget_;
  const OnExceed on_exceed_;
  mutable std::mutex refusal_mutex_;
  arrow::Status refusal_;
};

/// One thread's scopes.
struct ThreadScopes {
  std::atomic<ChargedScope*> current{nullptr};
  std::atomic<ChargedScope*> hazard{nullptr};
  std::vector<ChargedScope*> entered;  // outermost first; guarded by the registry
};

class ScopeRegistry {
 public:
  static ScopeRegistry* Instance();

  /// The calling thread's record; null while the thread is being torn down.
  ThreadScopes* ThisThread();
  std::shared_ptr<ThreadScopes> ShareThisThread();

  ChargedScope* Enter(ThreadScopes* thread, std::string name, int64_t limit_bytes,
                      OnExceed on_exceed);
  void Leave(ThreadScopes* thread, ChargedScope* scope);
  void DropHandle(ChargedScope* scope);

  /// The scope to charge now, named in the thread's hazard pointer; null for none.
  ChargedScope* Acquire(ThreadScopes* thread);

  std::mutex* mutex() { return &mutex_; }

 private:
  friend struct ThreadRecord;
  void Publish();
  void DeleteFinished();

  std::mutex mutex_;
  std::vector<std::shared_ptr<ThreadScopes>> threads_;
  std::vector<ChargedScope*> left_;
  std::atomic<ChargedScope*> only_{nullptr};  // the innermost scope of the only thread with one
};

}  // namespace floodwall

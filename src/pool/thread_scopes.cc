#include "pool/thread_scopes.h"

#include <algorithm>
#include <utility>

#include "pool/unsafe_caller.h"

namespace floodwall {

/// Registers the thread, and removes it when it ends.
struct ThreadRecord {
  std::shared_ptr<ThreadScopes> scopes = std::make_shared<ThreadScopes>();
  ThreadRecord();
  ~ThreadRecord();
};

namespace {
// Read after the record's destruction too, when thread-local destructors free Arrow memory.
thread_local bool torn_down = false;
}  // namespace

ThreadRecord::ThreadRecord() {
  ScopeRegistry* registry = ScopeRegistry::Instance();
  std::lock_guard lock(registry->mutex_);
  registry->threads_.push_back(scopes);
}

ThreadRecord::~ThreadRecord() {
  torn_down = true;
  ScopeRegistry* registry = ScopeRegistry::Instance();
  std::lock_guard lock(registry->mutex_);
  // A thread that ends inside a scope no longer stands for it.
  scopes->entered.clear();
  scopes->current.store(nullptr);
  std::erase(registry->threads_, scopes);
  registry->Publish();
}

arrow::Status ChargedScope::Charge(int64_t bytes) {
  arrow::Status status = budget_->Reserve(bytes);
  if (status.ok()) return status;
  {
    std::lock_guard lock(refusal_mutex_);
    refusal_ = status;
  }
  if (on_exceed_ == OnExceed::kDeny && !CalledByUnsafeCode()) {
    denied.fetch_add(1, std::memory_order_relaxed);
    return status;
  }
  overdrafts.fetch_add(1, std::memory_order_relaxed);
  budget_->ForceReserve(bytes);
  return arrow::Status::OK();
}

arrow::Status ChargedScope::last_refusal() const {
  std::lock_guard lock(refusal_mutex_);
  return refusal_;
}

ScopeRegistry* ScopeRegistry::Instance() {
  static auto* const registry = new ScopeRegistry();
  return registry;
}

std::shared_ptr<ThreadScopes> ScopeRegistry::ShareThisThread() {
  if (torn_down) return nullptr;
  thread_local ThreadRecord record;
  return record.scopes;
}

ThreadScopes* ScopeRegistry::ThisThread() {
  if (torn_down) return nullptr;
  thread_local ThreadScopes* const scopes = ShareThisThread().get();
  return scopes;
}

ChargedScope* ScopeRegistry::Enter(ThreadScopes* thread, std::string name, int64_t limit_bytes,
                                   OnExceed on_exceed) {
  std::lock_guard lock(mutex_);
  DeleteFinished();
  std::shared_ptr<Budget> parent;
  if (!thread->entered.empty()) parent = thread->entered.back()->budget();
  auto* scope =
      new ChargedScope(Budget::Make(std::move(name), limit_bytes, std::move(parent)), on_exceed);
  thread->entered.push_back(scope);
  Publish();
  return scope;
}

void ScopeRegistry::Leave(ThreadScopes* thread, ChargedScope* scope) {
  std::lock_guard lock(mutex_);
  std::erase(thread->entered, scope);
  scope->entered = false;
  left_.push_back(scope);
  Publish();
  DeleteFinished();
}

void ScopeRegistry::DropHandle(ChargedScope* scope) {
  std::lock_guard lock(mutex_);
  scope->has_handle = false;
  DeleteFinished();
}

void ScopeRegistry::Publish() {
  ChargedScope* only = nullptr;
  int threads_with_scopes = 0;
  for (const auto& thread : threads_) {
    ChargedScope* innermost = thread->entered.empty() ? nullptr : thread->entered.back();
    thread->current.store(innermost);
    if (innermost != nullptr) {
      only = innermost;
      ++threads_with_scopes;
    }
  }
  only_.store(threads_with_scopes == 1 ? only : nullptr);
}

void ScopeRegistry::DeleteFinished() {
  std::erase_if(left_, [this](ChargedScope* scope) {
    if (scope->has_handle || scope->blocks.load() != 0) return false;
    for (const auto& thread : threads_) {
      if (thread->hazard.load() == scope) return false;
    }
    delete scope;
    return true;
  });
}

ChargedScope* ScopeRegistry::Acquire(ThreadScopes* thread) {
  while (true) {
    ChargedScope* scope = thread->current.load();
    if (scope == nullptr) scope = only_.load();
    thread->hazard.store(scope);
    // Named before it is looked at again: whoever deletes it has removed it from both places
    // first, and sees the hazard when this thread still sees the scope.
    ChargedScope* again = thread->current.load();
    if (again == nullptr) again = only_.load();
    if (again == scope) return scope;
  }
}

}  // namespace floodwall

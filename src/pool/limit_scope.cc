#include "floodwall/limit_scope.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#include "pool/default_pool.h"
#include "pool/thread_scopes.h"

namespace floodwall {
namespace {

/// Lies before each block, in a prefix as large as the block's alignment.
struct BlockHeader {
  ChargedScope* scope;  // null: charged to none
  arrow::MemoryPool* upstream;
};

constexpr int64_t kPrefix = 64;
static_assert(sizeof(BlockHeader) <= kPrefix);

int64_t PrefixOf(int64_t alignment) { return std::max(alignment, kPrefix); }

/// Holds the registry's lock for a thread that is being torn down and has no hazard pointer.
class Touch {
 public:
  explicit Touch(ThreadScopes* thread) : thread_(thread) {
    if (thread_ == nullptr) lock_ = std::unique_lock(*ScopeRegistry::Instance()->mutex());
  }
  ~Touch() {
    if (thread_ != nullptr) thread_->hazard.store(nullptr, std::memory_order_release);
  }
  Touch(const Touch&) = delete;
  Touch& operator=(const Touch&) = delete;

  ChargedScope* AcquireCurrent() {
    return thread_ == nullptr ? nullptr : ScopeRegistry::Instance()->Acquire(thread_);
  }
  /// For the scope of a block that is allocated: its count keeps the scope until now.
  void Name(ChargedScope* scope) {
    if (thread_ != nullptr) thread_->hazard.store(scope);
  }

 private:
  ThreadScopes* thread_;
  std::unique_lock<std::mutex> lock_;
};

}  // namespace

std::shared_ptr<LimitScope> LimitScope::Enter(std::string name, int64_t limit_bytes,
                                              OnExceed on_exceed) {
  ScopeRegistry* registry = ScopeRegistry::Instance();
  std::shared_ptr<ThreadScopes> thread = registry->ShareThisThread();
  if (!thread) thread = std::make_shared<ThreadScopes>();
  ChargedScope* scope = registry->Enter(thread.get(), std::move(name), limit_bytes, on_exceed);
  return std::shared_ptr<LimitScope>(new LimitScope(scope, std::move(thread)));
}

LimitScope::LimitScope(ChargedScope* scope, std::shared_ptr<ThreadScopes> thread)
    : scope_(scope), thread_(std::move(thread)), budget_(scope->budget()) {}

LimitScope::~LimitScope() {
  Leave();
  ScopeRegistry::Instance()->DropHandle(scope_);
}

void LimitScope::Leave() {
  if (std::exchange(left_, true)) return;
  ScopeRegistry::Instance()->Leave(thread_.get(), scope_);
}

int64_t LimitScope::denied_count() const { return scope_->denied.load(); }
int64_t LimitScope::overdraft_count() const { return scope_->overdrafts.load(); }
arrow::Status LimitScope::last_refusal() const { return scope_->last_refusal(); }

RoutingPool* RoutingPool::Instance() {
  static auto* const pool = new RoutingPool();
  return pool;
}

void RoutingPool::set_upstream(arrow::MemoryPool* upstream) {
  if (upstream != this) upstream_.store(upstream, std::memory_order_release);
}

arrow::Status RoutingPool::RouteDefaults(bool on) {
  if (on) ARROW_RETURN_NOT_OK(HookDefaultPool());
  SwitchDefaultPool(on);
  return arrow::Status::OK();
}

arrow::Status RoutingPool::Allocate(int64_t size, int64_t alignment, uint8_t** out) {
  arrow::MemoryPool* upstream = upstream_.load(std::memory_order_acquire);
  const int64_t prefix = PrefixOf(alignment);
  if (size < 0 || size > std::numeric_limits<int64_t>::max() - prefix) {
    return arrow::Status::Invalid("invalid malloc size ", size);
  }
  // Blocks of no bytes are one constant address of the upstream's.
  if (size == 0) return upstream->Allocate(0, alignment, out);
  const int64_t bytes = size + prefix;
  Touch touch(ScopeRegistry::Instance()->ThisThread());
  ChargedScope* scope = touch.AcquireCurrent();
  if (scope != nullptr) {
    // Counted before it is charged: a reclaimer may allocate and free on this thread, which takes
    // the hazard pointer away.
    scope->blocks.fetch_add(1);
    const arrow::Status charged = scope->Charge(bytes);
    if (!charged.ok()) {
      scope->blocks.fetch_sub(1);
      return charged;
    }
  }
  uint8_t* block = nullptr;
  const arrow::Status status = upstream->Allocate(bytes, alignment, &block);
  if (!status.ok()) {
    if (scope != nullptr) {
      scope->Discharge(bytes);
      scope->blocks.fetch_sub(1);
    }
    return status;
  }
  new (block) BlockHeader{scope, upstream};
  *out = block + prefix;
  return status;
}

arrow::Status RoutingPool::Reallocate(int64_t old_size, int64_t new_size, int64_t alignment,
                                      uint8_t** ptr) {
  const int64_t prefix = PrefixOf(alignment);
  if (new_size < 0 || new_size > std::numeric_limits<int64_t>::max() - prefix) {
    return arrow::Status::Invalid("invalid realloc size ", new_size);
  }
  if (old_size == 0) return Allocate(new_size, alignment, ptr);
  if (new_size == 0) {
    uint8_t* old = *ptr;
    ARROW_RETURN_NOT_OK(Allocate(0, alignment, ptr));
    Free(old, old_size, alignment);
    return arrow::Status::OK();
  }
  uint8_t* block = *ptr - prefix;
  const BlockHeader header = *reinterpret_cast<BlockHeader*>(block);
  const int64_t growth = new_size - old_size;
  // The block is allocated until this returns, so its scope needs no hazard pointer.
  if (header.scope != nullptr && growth > 0) ARROW_RETURN_NOT_OK(header.scope->Charge(growth));
  const arrow::Status status =
      header.upstream->Reallocate(old_size + prefix, new_size + prefix, alignment, &block);
  if (header.scope != nullptr && growth != 0) {
    if (status.ok() && growth < 0) header.scope->Discharge(-growth);
    if (!status.ok() && growth > 0) header.scope->Discharge(growth);
  }
  if (status.ok()) *ptr = block + prefix;
  return status;
}

void RoutingPool::Free(uint8_t* buffer, int64_t size, int64_t alignment) {
  if (size == 0) {
    upstream_.load(std::memory_order_acquire)->Free(buffer, 0, alignment);
    return;
  }
  const int64_t prefix = PrefixOf(alignment);
  uint8_t* block = buffer - prefix;
  const BlockHeader header = *reinterpret_cast<BlockHeader*>(block);
  header.upstream->Free(block, size + prefix, alignment);
  if (header.scope == nullptr) return;
  Touch touch(ScopeRegistry::Instance()->ThisThread());
  touch.Name(header.scope);
  header.scope->Discharge(size + prefix);
  header.scope->blocks.fetch_sub(1);
}

void RoutingPool::ReleaseUnused() { upstream_.load()->ReleaseUnused(); }
int64_t RoutingPool::bytes_allocated() const { return upstream_.load()->bytes_allocated(); }
int64_t RoutingPool::max_memory() const { return upstream_.load()->max_memory(); }
int64_t RoutingPool::total_bytes_allocated() const {
  return upstream_.load()->total_bytes_allocated();
}
int64_t RoutingPool::num_allocations() const { return upstream_.load()->num_allocations(); }
std::string RoutingPool::backend_name() const { return upstream_.load()->backend_name(); }

}  // namespace floodwall

/// The library that `floodwall run` preloads: counts and caps what libarrow takes from mimalloc.
///
/// libarrow calls its allocator through exported functions, which a preloaded library may stand in
/// for. Every block gets a prefix with its size. Blocks a parent allocated before a fork are the
/// parent's: the child frees them without counting.
///
/// It is loaded into programs that know nothing of it, so it needs only libc, throws nothing and
/// takes no lock.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "pool/run_page.h"
#include "pool/unsafe_caller.h"

namespace {

using floodwall::RunPage;
using floodwall::RunSlot;

struct Prefix {
  int64_t size;   // what the program asked for
  int64_t epoch;  // of the process that counted it
  int64_t bytes;  // of this prefix, to find the block's start
};

/// Costs a few microseconds to check: little beside touching a block of this size.
constexpr int64_t kLargeBlock = 256 << 10;
/// Between two looks for freed pages: a program that is refused again and again must not spend its
/// time on them.
constexpr int64_t kCollectPauseNs = 5'000'000;

RunPage* page = nullptr;
RunSlot* slot = nullptr;
int64_t epoch = 0;

using Allocate = void* (*)(size_t, size_t);
using Reallocate = void* (*)(void*, size_t, size_t);
using Release = void (*)(void*);
using Collect = void (*)(bool);

/// libarrow's own functions, behind ours.
struct Allocator {
  Allocate allocate = nullptr;
  Reallocate reallocate = nullptr;
  Release release = nullptr;
  Collect collect = nullptr;
};

/// Finds them in the library that calls; threads that race find the same.
const Allocator& Upstream(void* caller) {
  static Allocator found;
  static std::atomic<bool> ready{false};
  if (ready.load(std::memory_order_acquire)) return found;
  Dl_info info;
  void* library = nullptr;
  if (::dladdr(caller, &info) != 0) library = ::dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  Allocator own;
  if (library != nullptr) {
    own.allocate = reinterpret_cast<Allocate>(::dlsym(library, "arrow_mi_malloc_aligned"));
    own.reallocate = reinterpret_cast<Reallocate>(::dlsym(library, "arrow_mi_realloc_aligned"));
    own.release = reinterpret_cast<Release>(::dlsym(library, "arrow_mi_free"));
    own.collect = reinterpret_cast<Collect>(::dlsym(library, "arrow_mi_collect"));
  }
  // Nothing to stand in for: memory cannot be had, which the program hears as a failure.
  if (own.allocate != nullptr && own.release != nullptr && own.reallocate != nullptr &&
      own.collect != nullptr) {
    found = own;
    ready.store(true, std::memory_order_release);
  }
  return found;
}

/// Anonymous memory of this process now; -1 when it cannot be read.
int64_t AnonymousNow() {
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char text[128];
  const ssize_t length = ::read(fd, text, sizeof(text) - 1);
  ::close(fd);
  if (length <= 0) return -1;
  text[length] = '\0';
  char* next = text;
  std::strtoll(next, &next, 10);
  const int64_t resident = std::strtoll(next, &next, 10);
  const int64_t shared = std::strtoll(next, &next, 10);
  return (resident - shared) * ::sysconf(_SC_PAGESIZE);
}

/// The launcher looks only now and then; before a large block this process looks for itself.
bool PassesRoom(int64_t bytes) {
  if (bytes < kLargeBlock || slot == nullptr) return false;
  const int64_t now = AnonymousNow();
  const int64_t then = slot->anonymous.load();
  return now >= 0 && then > 0 && now - then + bytes > page->room.load();
}

/// Pages that mimalloc keeps for a while after a free count as what is not Arrow's. Returning them
/// at each free would cost a quarter of a program's time: they go back when somebody is in need.
void ReturnFreed(Collect collect) {
  static std::atomic<int64_t> last_ns{0};
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t ns = now.tv_sec * 1'000'000'000 + now.tv_nsec;
  int64_t last = last_ns.load();
  if (ns - last < kCollectPauseNs || !last_ns.compare_exchange_strong(last, ns)) return;
  const int64_t before = AnonymousNow();
  collect(true);
  const int64_t returned = before - AnonymousNow();
  // Until the launcher looks again.
  if (before >= 0 && returned > 0) page->cap.fetch_add(returned);
}

/// The launcher asks for what was freed when the tree comes near its limit.
void ReturnFreedIfAsked(Collect collect) {
  if (slot == nullptr || slot->wanted.load(std::memory_order_relaxed) == 0) return;
  slot->wanted.store(0);
  ReturnFreed(collect);
}

bool Charge(int64_t bytes, Collect collect) {
  if (page == nullptr) return true;
  page->requests.fetch_add(1, std::memory_order_relaxed);
  ReturnFreedIfAsked(collect);
  const int64_t now = page->used.fetch_add(bytes) + bytes - page->reaped.load();
  const auto fits = [&] { return now <= page->cap.load() && !PassesRoom(bytes); };
  bool granted = fits();
  if (!granted) {
    ReturnFreed(collect);
    granted = fits();
  }
  if (!granted) {
    if (!floodwall::CalledByUnsafeCode()) {
      page->used.fetch_sub(bytes);
      page->refused.fetch_add(1);
      return false;
    }
    page->overdrafts.fetch_add(1);
  }
  if (slot != nullptr) slot->used.fetch_add(bytes);
  int64_t peak = page->peak.load(std::memory_order_relaxed);
  while (now > peak && !page->peak.compare_exchange_weak(peak, now)) {
  }
  return true;
}

void Discharge(int64_t bytes) {
  if (page == nullptr) return;
  page->used.fetch_sub(bytes);
  if (slot != nullptr) slot->used.fetch_sub(bytes);
}

void TakeSlot() {
  const int64_t pid = ::getpid();
  slot = nullptr;
  // A program that called exec left its slot behind, with memory that is gone.
  for (RunSlot& old : page->slots) {
    if (old.pid.load() == pid) {
      page->used.fetch_sub(old.used.exchange(0));
      slot = &old;
      return;
    }
  }
  for (RunSlot& fresh : page->slots) {
    int64_t none = 0;
    if (fresh.pid.compare_exchange_strong(none, pid)) {
      slot = &fresh;
      return;
    }
  }
}

void StartChild() {
  ++epoch;
  if (page != nullptr) TakeSlot();
}

__attribute__((constructor)) void Start() {
  const char* path = ::getenv("FLOODWALL_RUN_PAGE");
  if (path == nullptr) return;
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = ::mmap(nullptr, sizeof(RunPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (mapped == MAP_FAILED) return;
  page = static_cast<RunPage*>(mapped);
  TakeSlot();
  ::pthread_atfork(nullptr, nullptr, &StartChild);
  if (::getenv("FLOODWALL_RUN_ALONE") != nullptr) {
    const char* before = ::getenv("FLOODWALL_RUN_PRELOAD");
    if (before != nullptr && before[0] != '\0') {
      ::setenv("LD_PRELOAD", before, 1);
    } else {
      ::unsetenv("LD_PRELOAD");
    }
    ::unsetenv("FLOODWALL_RUN_PAGE");
  }
}

int64_t PrefixFor(size_t alignment) {
  return alignment > 64 ? static_cast<int64_t>(alignment) : int64_t{64};
}

Prefix* PrefixOf(void* block) {
  return reinterpret_cast<Prefix*>(static_cast<char*>(block) - sizeof(Prefix));
}

void* Finish(void* start, size_t size, int64_t prefix) {
  void* block = static_cast<char*>(start) + prefix;
  *PrefixOf(block) = Prefix{static_cast<int64_t>(size), epoch, prefix};
  return block;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void* arrow_mi_malloc_aligned(size_t size,
                                                                     size_t alignment) {
  const Allocator& upstream = Upstream(__builtin_return_address(0));
  if (upstream.allocate == nullptr || size > SIZE_MAX / 4) return nullptr;
  const int64_t prefix = PrefixFor(alignment);
  if (!Charge(static_cast<int64_t>(size), upstream.collect)) return nullptr;
  void* start = upstream.allocate(size + static_cast<size_t>(prefix), alignment);
  if (start == nullptr) {
    Discharge(static_cast<int64_t>(size));
    return nullptr;
  }
  return Finish(start, size, prefix);
}

__attribute__((visibility("default"))) void arrow_mi_free(void* block) {
  if (block == nullptr) return;
  const Prefix prefix = *PrefixOf(block);
  if (prefix.epoch == epoch) Discharge(prefix.size);
  const Allocator& upstream = Upstream(__builtin_return_address(0));
  // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): resolved before anything is handed out
  upstream.release(static_cast<char*>(block) - prefix.bytes);
  ReturnFreedIfAsked(upstream.collect);
}

__attribute__((visibility("default"))) void* arrow_mi_realloc_aligned(void* block, size_t size,
                                                                      size_t alignment) {
  const Allocator& upstream = Upstream(__builtin_return_address(0));
  if (upstream.allocate == nullptr || size > SIZE_MAX / 4) return nullptr;
  if (block == nullptr) {
    const int64_t prefix = PrefixFor(alignment);
    if (!Charge(static_cast<int64_t>(size), upstream.collect)) return nullptr;
    void* start = upstream.allocate(size + static_cast<size_t>(prefix), alignment);
    if (start == nullptr) Discharge(static_cast<int64_t>(size));
    return start == nullptr ? nullptr : Finish(start, size, prefix);
  }
  const Prefix old = *PrefixOf(block);
  const int64_t counted = old.epoch == epoch ? old.size : 0;
  const int64_t growth = static_cast<int64_t>(size) - counted;
  if (growth > 0 && !Charge(growth, upstream.collect)) return nullptr;
  void* start = upstream.reallocate(static_cast<char*>(block) - old.bytes,
                                    size + static_cast<size_t>(old.bytes), alignment);
  if (start == nullptr) {
    if (growth > 0) Discharge(growth);
    return nullptr;
  }
  if (growth < 0) Discharge(-growth);
  return Finish(start, size, old.bytes);
}

__attribute__((visibility("default"))) void arrow_mi_collect(bool force) {
  const Allocator& upstream = Upstream(__builtin_return_address(0));
  if (upstream.collect != nullptr) upstream.collect(force);
}

}  // extern "C"

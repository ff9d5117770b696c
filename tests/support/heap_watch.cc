#include "support/heap_watch.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> live{0};
std::atomic<int64_t> peak{0};

void* Count(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  const auto size = static_cast<int64_t>(::malloc_usable_size(block));
  const int64_t now = live.fetch_add(size) + size;
  int64_t highest = peak.load();
  while (now > highest && !peak.compare_exchange_weak(highest, now)) {
  }
  return block;
}

void Return(void* block) {
  if (block == nullptr) return;
  live.fetch_sub(static_cast<int64_t>(::malloc_usable_size(block)));
  std::free(block);
}

void* Aligned(std::size_t size, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return Count(std::aligned_alloc(step, (size + step - 1) / step * step));
}

}  // namespace

void* operator new(std::size_t size) { return Count(std::malloc(size == 0 ? 1 : size)); }
void* operator new[](std::size_t size) { return Count(std::malloc(size == 0 ? 1 : size)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Aligned(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return Aligned(size, alignment);
}
void operator delete(void* block) noexcept { Return(block); }
void operator delete[](void* block) noexcept { Return(block); }
void operator delete(void* block, std::size_t) noexcept { Return(block); }
void operator delete[](void* block, std::size_t) noexcept { Return(block); }
void operator delete(void* block, std::align_val_t) noexcept { Return(block); }
void operator delete[](void* block, std::align_val_t) noexcept { Return(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { Return(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { Return(block); }

namespace floodwall::testing {

int64_t HeapBytes() { return live.load(); }
int64_t HeapPeak() { return peak.load(); }
void ResetHeapPeak() { peak.store(live.load()); }

}  // namespace floodwall::testing

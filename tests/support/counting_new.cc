#include "support/counting_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> counting = false;
std::atomic<int64_t> allocations = 0;
}  // namespace

void* operator new(size_t bytes) {
  if (counting) ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace floodwall::testing {

CountingNew::CountingNew() {
  allocations = 0;
  counting = true;
}
CountingNew::~CountingNew() { counting = false; }
int64_t CountingNew::count() const { return allocations; }

}  // namespace floodwall::testing

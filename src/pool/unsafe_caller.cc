#include "pool/unsafe_caller.h"

#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "arrow/memory_pool.h"

namespace floodwall {
namespace {

/// libarrow's exported functions by address. Those that are not exported go by the exported one
/// before them: it comes from the same source file, because the linker keeps a file's functions
/// together.
class ArrowFunctions {
 public:
  ArrowFunctions() {
    Dl_info info;
    void* map = nullptr;
    const auto inside = reinterpret_cast<void*>(&arrow::default_memory_pool);
    if (::dladdr1(inside, &info, &map, RTLD_DL_LINKMAP) == 0 || map == nullptr) return;
    Collect(*static_cast<link_map*>(map));
    std::sort(functions_.begin(), functions_.end());
  }

  bool IsCsv(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address);
    if (functions_.empty() || at > end_) return false;
    auto after = std::upper_bound(functions_.begin(), functions_.end(), std::pair(at, true));
    return after != functions_.begin() && std::prev(after)->second;
  }

 private:
  void Collect(const link_map& library) {
    const ElfW(Sym)* symbols = nullptr;
    const char* names = nullptr;
    const uint32_t* hash = nullptr;
    for (const ElfW(Dyn)* entry = library.l_ld; entry->d_tag != DT_NULL; ++entry) {
      const void* value = reinterpret_cast<const void*>(entry->d_un.d_ptr);
      if (entry->d_tag == DT_SYMTAB) symbols = static_cast<const ElfW(Sym)*>(value);
      if (entry->d_tag == DT_STRTAB) names = static_cast<const char*>(value);
      if (entry->d_tag == DT_GNU_HASH) hash = static_cast<const uint32_t*>(value);
    }
    if (symbols == nullptr || names == nullptr || hash == nullptr) return;
    const uint32_t count = CountSymbols(hash);
    for (uint32_t i = 0; i < count; ++i) {
      const ElfW(Sym) & symbol = symbols[i];
      if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
      const uintptr_t address = library.l_addr + symbol.st_value;
      const bool csv = std::strstr(names + symbol.st_name, "N5arrow3csv") != nullptr;
      functions_.emplace_back(address, csv);
      end_ = std::max(end_, address + symbol.st_size);
    }
  }

  /// The table says nowhere how long it is; the hash table's last chain does.
  static uint32_t CountSymbols(const uint32_t* hash) {
    const uint32_t buckets = hash[0];
    const uint32_t first = hash[1];
    const uint32_t bloom_words = hash[2];
    const uint32_t* bucket = hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t* chain = bucket + buckets;
    uint32_t last = 0;
    for (uint32_t i = 0; i < buckets; ++i) last = std::max(last, bucket[i]);
    if (last < first) return first;
    while ((chain[last - first] & 1) == 0) ++last;
    return last + 1;
  }

  std::vector<std::pair<uintptr_t, bool>> functions_;  // address, whether arrow::csv's
  uintptr_t end_ = 0;
};

}  // namespace

bool CalledByUnsafeCode() {
  static const auto* const functions = new ArrowFunctions();
  constexpr int kFrames = 96;
  void* frames[kFrames];
  const int count = ::backtrace(frames, kFrames);
  return std::any_of(frames, frames + count, [](void* at) { return functions->IsCsv(at); });
}

}  // namespace floodwall

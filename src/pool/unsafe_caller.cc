#include "pool/unsafe_caller.h"

#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <link.h>

#include <cstdint>
#include <cstring>

namespace floodwall {
namespace {

/// The table says nowhere how long it is; the hash table's last chain does.
uint32_t CountSymbols(const uint32_t* hash) {
  const uint32_t buckets = hash[0];
  const uint32_t first = hash[1];
  const uint32_t bloom_words = hash[2];
  const uint32_t* bucket = hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
  const uint32_t* chain = bucket + buckets;
  uint32_t last = 0;
  for (uint32_t i = 0; i < buckets; ++i) last = bucket[i] > last ? bucket[i] : last;
  if (last < first) return first;
  while ((chain[last - first] & 1) == 0) ++last;
  return last + 1;
}

struct Function {
  const char* name = nullptr;
  bool exact = false;  // the address lies inside it, not in one behind it that is not exported
};

/// The exported function at or before an address of a library. One that is not exported goes by
/// its neighbour: mostly it comes from the same source file, because the linker keeps a file's
/// functions together.
Function NearestFunction(const link_map& library, uintptr_t address) {
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  const uint32_t* hash = nullptr;
  for (const ElfW(Dyn)* entry = library.l_ld; entry->d_tag != DT_NULL; ++entry) {
    const void* value = reinterpret_cast<const void*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) symbols = static_cast<const ElfW(Sym)*>(value);
    if (entry->d_tag == DT_STRTAB) names = static_cast<const char*>(value);
    if (entry->d_tag == DT_GNU_HASH) hash = static_cast<const uint32_t*>(value);
  }
  if (symbols == nullptr || names == nullptr || hash == nullptr) return {};
  const uintptr_t offset = address - library.l_addr;
  const ElfW(Sym)* nearest = nullptr;
  const uint32_t count = CountSymbols(hash);
  for (uint32_t i = 0; i < count; ++i) {
    const ElfW(Sym) & symbol = symbols[i];
    if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
    if (symbol.st_value > offset) continue;
    if (nearest == nullptr || symbol.st_value > nearest->st_value) nearest = &symbol;
  }
  if (nearest == nullptr) return {};
  return {names + nearest->st_name, offset < nearest->st_value + nearest->st_size};
}

bool IsUnsafe(void* frame) {
  Dl_info info;
  void* found = nullptr;
  if (::dladdr1(frame, &info, &found, RTLD_DL_LINKMAP) == 0 || found == nullptr) return false;
  const auto& library = *static_cast<const link_map*>(found);
  const bool arrow = std::strstr(library.l_name, "/libarrow.so") != nullptr;
  const bool parquet = std::strstr(library.l_name, "/libparquet.so") != nullptr;
  if (!arrow && !parquet) return false;
  const auto [name, exact] = NearestFunction(library, reinterpret_cast<uintptr_t>(frame));
  if (name == nullptr) return false;
  if (arrow) return std::strstr(name, "N5arrow3csv") != nullptr;
  // Behind the last function of path_internal.cc lie the unexported first ones of reader.cc,
  // which can be refused. When the level builder writes, its own frame is there too.
  if (!exact && std::strstr(name, "MultipathLevelBuilder") != nullptr) return false;
  return std::strstr(name, "Write") != nullptr || std::strstr(name, "Encoder") != nullptr;
}

}  // namespace

bool CalledByUnsafeCode() {
  constexpr int kFrames = 96;
  void* frames[kFrames];
  const int count = ::backtrace(frames, kFrames);
  for (int i = 0; i < count; ++i) {
    if (IsUnsafe(frames[i])) return true;
  }
  return false;
}

}  // namespace floodwall

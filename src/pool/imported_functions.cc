#include "pool/imported_functions.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace floodwall {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT;
constexpr uint32_t kDataSlot = R_X86_64_GLOB_DAT;
#else
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT;
constexpr uint32_t kDataSlot = R_AARCH64_GLOB_DAT;
#endif

/// What one library says of its imports.
struct Imports {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  std::span<const ElfW(Rela)> calls;
  std::span<const ElfW(Rela)> data;
  uintptr_t read_only_begin = 0;  // what the loader made read-only after it filled it
  uintptr_t read_only_end = 0;
};

struct Search {
  std::span<const Replacement> replacements;
  uint64_t changes = 0;  // libraries loaded and unloaded so far
  bool look = false;
  int error = 0;
};

/// glibc adds the load address to the table's pointers, musl does not.
uintptr_t Address(const dl_phdr_info& library, ElfW(Addr) value) {
  return value < library.dlpi_addr ? value + library.dlpi_addr : value;
}

std::span<const ElfW(Rela)> Table(uintptr_t address, size_t bytes) {
  return {reinterpret_cast<const ElfW(Rela)*>(address), bytes / sizeof(ElfW(Rela))};
}

Imports ImportsOf(const dl_phdr_info& library) {
  Imports imports;
  const ElfW(Dyn)* entry = nullptr;
  for (int i = 0; i < library.dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = library.dlpi_phdr[i];
    const uintptr_t begin = library.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_DYNAMIC) entry = reinterpret_cast<const ElfW(Dyn)*>(begin);
    if (segment.p_type == PT_GNU_RELRO) {
      imports.read_only_begin = begin;
      imports.read_only_end = begin + segment.p_memsz;
    }
  }
  if (entry == nullptr) return imports;
  uintptr_t calls = 0;
  uintptr_t data = 0;
  size_t calls_bytes = 0;
  size_t data_bytes = 0;
  bool with_addends = true;
  for (; entry->d_tag != DT_NULL; ++entry) {
    const uintptr_t address = Address(library, entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) imports.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
    if (entry->d_tag == DT_STRTAB) imports.names = reinterpret_cast<const char*>(address);
    if (entry->d_tag == DT_JMPREL) calls = address;
    if (entry->d_tag == DT_PLTRELSZ) calls_bytes = entry->d_un.d_val;
    if (entry->d_tag == DT_RELA) data = address;
    if (entry->d_tag == DT_RELASZ) data_bytes = entry->d_un.d_val;
    if (entry->d_tag == DT_PLTREL) with_addends = entry->d_un.d_val == DT_RELA;
  }
  if (with_addends && calls != 0) imports.calls = Table(calls, calls_bytes);
  if (data != 0) imports.data = Table(data, data_bytes);
  return imports;
}

/// Returns errno, or 0.
int Write(const Imports& imports, uintptr_t slot, void* function) {
  auto* place = reinterpret_cast<void**>(slot);
  std::atomic_ref<void*> value(*place);
  if (value.load(std::memory_order_relaxed) == function) return 0;
  const bool read_only = slot >= imports.read_only_begin && slot < imports.read_only_end;
  if (!read_only) {
    value.store(function, std::memory_order_release);
    return 0;
  }
  const auto page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto* page = reinterpret_cast<void*>(slot & ~(page_bytes - 1));
  if (::mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) return errno;
  value.store(function, std::memory_order_release);
  return ::mprotect(page, page_bytes, PROT_READ) == 0 ? 0 : errno;
}

void Replace(const dl_phdr_info& library, const Imports& imports, std::span<const ElfW(Rela)> table,
             Search* search) {
  for (const ElfW(Rela) & import : table) {
    const auto type = static_cast<uint32_t>(ELF64_R_TYPE(import.r_info));
    if (type != kJumpSlot && type != kDataSlot) continue;
    const char* name = imports.names + imports.symbols[ELF64_R_SYM(import.r_info)].st_name;
    for (const Replacement& replacement : search->replacements) {
      if (std::strcmp(name, replacement.symbol) != 0) continue;
      const int error = Write(imports, library.dlpi_addr + import.r_offset, replacement.function);
      if (error != 0) search->error = error;
    }
  }
}

bool Contains(const dl_phdr_info& library, const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  for (int i = 0; i < library.dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = library.dlpi_phdr[i];
    const uintptr_t begin = library.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && wanted >= begin && wanted < begin + segment.p_memsz) {
      return true;
    }
  }
  return false;
}

/// The counters are of the whole process: the first library tells whether to go on.
int Visit(dl_phdr_info* library, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  const uint64_t changes = library->dlpi_adds + library->dlpi_subs;
  if (!search->look && changes == search->changes) return 1;
  search->look = true;
  search->changes = changes;
  if (Contains(*library, reinterpret_cast<const void*>(&ReplaceImportedFunctions))) return 0;
  const Imports imports = ImportsOf(*library);
  if (imports.symbols == nullptr || imports.names == nullptr) return 0;
  Replace(*library, imports, imports.calls, search);
  Replace(*library, imports, imports.data, search);
  return 0;
}

}  // namespace

arrow::Status ReplaceImportedFunctions(std::span<const Replacement> replacements) {
  static std::mutex mutex;
  static uint64_t seen = 0;
  std::lock_guard lock(mutex);
  Search search{.replacements = replacements, .changes = seen};
  ::dl_iterate_phdr(&Visit, &search);
  if (search.error != 0) {
    return arrow::Status::IOError("cannot replace an imported function: ",
                                  std::strerror(search.error));
  }
  seen = search.changes;
  return arrow::Status::OK();
}

}  // namespace floodwall

#else

namespace floodwall {

arrow::Status ReplaceImportedFunctions(std::span<const Replacement>) {
  return arrow::Status::NotImplemented("imported functions can be replaced on Linux only");
}

}  // namespace floodwall

#endif

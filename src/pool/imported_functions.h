#pragma once

/// Puts functions in the place of those that the libraries of this process import.
///
/// A library calls an imported function through a slot of its global offset table, which the
/// loader fills (System V ABI, chapter 5; `elf.h`, `link.h`). Replacing the slot replaces the
/// function for that library. Libraries that are loaded later have their own slots: call again.
/// The library this code lies in keeps its own imports, so that a replacement may call what it
/// stands in for.
///
/// Threading: any thread; callers of the function see the old or the new one. Errors:
/// NotImplemented on other systems and processors than Linux on x86-64 and AArch64, IOError where
/// a slot cannot be written. Lifetime: for good; replacements must never be unloaded.

#include <span>

#include "arrow/status.h"

namespace floodwall {

struct Replacement {
  const char* symbol;  ///< as the linker names it
  void* function;
};

/// For one set of replacements in a process: costs a look at a counter when nothing was loaded or
/// unloaded since the last call.
arrow::Status ReplaceImportedFunctions(std::span<const Replacement> replacements);

}  // namespace floodwall

#pragma once

#include <cstdint>

namespace floodwall::testing {

/// Bytes that operator new has given out in this program, from this library and from Arrow's; what
/// comes from memory pools is not among them. A program that links heap_watch.cc counts.
int64_t HeapBytes();
/// The most there were since the last call of ResetHeapPeak.
int64_t HeapPeak();
void ResetHeapPeak();

}  // namespace floodwall::testing

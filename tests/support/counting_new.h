#pragma once

#include <cstdint>

namespace floodwall::testing {

/// Counts the calls of operator new of a whole program while it lives. Link counting_new.cc.
class CountingNew {
 public:
  CountingNew();
  ~CountingNew();
  int64_t count() const;
};

}  // namespace floodwall::testing

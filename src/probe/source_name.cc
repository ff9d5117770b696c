#include "probe/source_name.h"

#include <mutex>
#include <set>

namespace floodwall {

std::string_view SourceName(const std::string& name) {
  static auto* lock = new std::mutex;
  static auto* names = new std::set<std::string>;
  const std::lock_guard guard(*lock);
  return *names->insert(name).first;
}

}  // namespace floodwall

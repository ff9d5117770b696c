#include "floodwall/probe.h"

#include <string>

#if defined(__linux__)
#include "probe/linux/linux_probe.h"
#elif defined(__APPLE__)
#include "probe/darwin/darwin_probe.h"
#elif defined(_WIN32)
#include "probe/windows/windows_probe.h"
#endif

namespace floodwall {
namespace {

class NullProbe final : public MemoryProbe {
 public:
  bool has_sources() const override { return false; }
  Reading ReadResident() override { return {}; }
  Reading ReadAvailable(int64_t, bool* exact) override {
    *exact = true;
    return {};
  }
  MemoryReadings ReadAll() override { return {}; }
};

std::shared_ptr<MemoryProbe> MakeNative() {
#if defined(__linux__)
  return MakeLinuxProbe();
#elif defined(__APPLE__)
  return MakeDarwinProbe();
#elif defined(_WIN32)
  return MakeWindowsProbe();
#else
  return MemoryProbe::Null();
#endif
}

}  // namespace

std::shared_ptr<MemoryProbe> MemoryProbe::Native() {
  // Never destroyed: monitors of other static objects may still read at exit.
  static const auto* probe = new std::shared_ptr<MemoryProbe>(MakeNative());
  return *probe;
}

std::shared_ptr<MemoryProbe> MemoryProbe::OfProcess(int64_t pid) {
#if defined(__linux__)
  return MakeLinuxProbe("", KernelCalls::Native(), std::to_string(pid));
#else
  static_cast<void>(pid);
  return Null();
#endif
}

std::shared_ptr<MemoryProbe> MemoryProbe::Null() {
  static const auto* probe = new std::shared_ptr<MemoryProbe>(std::make_shared<NullProbe>());
  return *probe;
}

}  // namespace floodwall

#pragma once

/// Kernel calls that note which files were asked, and what came of it.
///
/// Threading: not safe, one probe's. Errors: passed on. Units: bytes. Lifetime: `calls` must
/// outlive it.

#include <map>
#include <string>
#include <vector>

#include "floodwall/diagnosis.h"
#include "probe/kernel_calls.h"

namespace floodwall {

class TracedCalls final : public KernelCalls {
 public:
  /// Names are given without `root`.
  TracedCalls(KernelCalls* calls, std::string root) : calls_(calls), root_(std::move(root)) {}

  int Open(const char* path) override;
  ssize_t Pread(int fd, void* buffer, size_t length, off_t offset) override;
  int Identify(int fd, FileId* id) override { return calls_->Identify(fd, id); }
  int Close(int fd) override;
  int SystemInfo(int64_t* total, int64_t* free, int64_t* swap_free) override;
  int PeakResident(int64_t* bytes) override;
  const char* Environment(const char* name) override { return calls_->Environment(name); }

  const std::vector<SourceCheck>& sources() const { return sources_; }

 private:
  void Note(const std::string& name, int error);

  KernelCalls* calls_;
  const std::string root_;
  std::vector<SourceCheck> sources_;
  std::map<int, std::string> open_;  ///< descriptor -> name
};

}  // namespace floodwall

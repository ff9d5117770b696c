#include "probe/linux/traced_calls.h"

#include <cerrno>

namespace floodwall {

void TracedCalls::Note(const std::string& name, int error) {
  for (SourceCheck& source : sources_) {
    if (source.name == name) {
      source.error = error;
      return;
    }
  }
  sources_.push_back({name, error});
}

int TracedCalls::Open(const char* path) {
  const int fd = calls_->Open(path);
  const int error = fd < 0 ? errno : 0;
  std::string name = std::string(path).substr(root_.size());
  Note(name, error);
  if (fd >= 0) open_[fd] = std::move(name);
  errno = error;
  return fd;
}

ssize_t TracedCalls::Pread(int fd, void* buffer, size_t length, off_t offset) {
  const ssize_t got = calls_->Pread(fd, buffer, length, offset);
  const int error = got < 0 ? errno : 0;
  if (const auto name = open_.find(fd); name != open_.end() && error != EINTR) {
    Note(name->second, error);
  }
  errno = error;
  return got;
}

int TracedCalls::Close(int fd) {
  open_.erase(fd);
  return calls_->Close(fd);
}

int TracedCalls::SystemInfo(int64_t* total, int64_t* free, int64_t* swap_free) {
  const int result = calls_->SystemInfo(total, free, swap_free);
  const int error = result != 0 ? errno : 0;
  Note("sysinfo", error);
  errno = error;
  return result;
}

int TracedCalls::PeakResident(int64_t* bytes) {
  const int result = calls_->PeakResident(bytes);
  const int error = result != 0 ? errno : 0;
  Note("getrusage", error);
  errno = error;
  return result;
}

}  // namespace floodwall

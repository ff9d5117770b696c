#include "probe/kept_file.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/coarse_clock.h"
#include "base/fork_epoch.h"

namespace floodwall {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

KeptFile::KeptFile(KeptFile&& other) noexcept
    : calls_(other.calls_),
      path_(std::move(other.path_)),
      content_(other.content_),
      fd_(std::exchange(other.fd_, -1)),
      id_(other.id_),
      epoch_(other.epoch_),
      open_error_(other.open_error_),
      lines_(other.lines_),
      bytes_(other.bytes_),
      checked_ns_(other.checked_ns_) {}

KeptFile::~KeptFile() { Close(); }

bool KeptFile::StillOurs() {
  KernelCalls::FileId now;
  return calls_->Identify(fd_, &now) == 0 && now == id_;
}

void KeptFile::Close() {
  // A number that was closed behind our back may be another file's: leave that alone.
  if (fd_ >= 0 && StillOurs()) calls_->Close(fd_);
  fd_ = -1;
}

int KeptFile::Reopen(int64_t now_ns) {
  Close();
  checked_ns_ = now_ns;
  epoch_ = ForkEpoch();
  int fd;
  do {
    fd = calls_->Open(path_.c_str());
  } while (fd < 0 && errno == EINTR);
  open_error_ = 0;
  if (fd < 0) {
    open_error_ = errno == 0 ? EIO : errno;
  } else if (calls_->Identify(fd, &id_) != 0) {
    open_error_ = errno == 0 ? EIO : errno;
    calls_->Close(fd);
  } else {
    fd_ = fd;
  }
  return open_error_;
}

KeptFile::Text KeptFile::ReadOpen(std::span<char> buffer) {
  size_t length = 0;
  const auto lines = [&] { return std::count(buffer.data(), buffer.data() + length, '\n'); };
  while (length < buffer.size()) {
    const ssize_t got = calls_->Pread(fd_, buffer.data() + length, buffer.size() - length,
                                      static_cast<off_t>(length));
    if (got < 0) {
      if (errno == EINTR) continue;
      return {{}, errno == 0 ? EIO : errno};
    }
    if (got == 0) {
      lines_ = lines();
      bytes_ = length;
      break;
    }
    length += static_cast<size_t>(got);
    // Asking such a file for its end would make the kernel write it all again. A file of an
    // emulation may come in pieces, each of which could end with a line. As long as before is
    // whole: counting the lines of meminfo would cost as much as parsing it.
    if (content_ == Content::kOneText && lines_ > 0 && buffer[length - 1] == '\n' &&
        (length == bytes_ || lines() >= lines_)) {
      bytes_ = length;
      break;
    }
  }
  std::string_view text(buffer.data(), length);
  if (length == buffer.size()) text = text.substr(0, text.rfind('\n') + 1);
  return {text, 0};
}

KeptFile::Text KeptFile::Read(std::span<char> buffer) {
  const int64_t now = CoarseNow();
  const bool forked = epoch_ != ForkEpoch();
  if (fd_ < 0) {
    if (open_error_ != 0 && !forked && now - checked_ns_ < kSecond) return {{}, open_error_};
    if (Reopen(now) != 0) return {{}, open_error_};
  } else if (forked) {
    if (Reopen(now) != 0) return {{}, open_error_};
  } else if (now - checked_ns_ >= kSecond) {
    checked_ns_ = now;
    if (!StillOurs() && Reopen(now) != 0) return {{}, open_error_};
  }
  Text read = ReadOpen(buffer);
  if (read.error == 0 && !read.text.empty()) return read;
  // A process or cgroup that is gone, a closed descriptor, or another file under its number.
  if (Reopen(now) != 0) return {{}, open_error_};
  return ReadOpen(buffer);
}

std::string ReadWholeFile(KernelCalls* calls, const std::string& path, int* error) {
  KeptFile file(calls, path, KeptFile::Content::kListing);
  std::vector<char> buffer;
  for (size_t size = size_t{64} << 10;; size *= 4) {
    buffer.resize(size);
    const KeptFile::Text read = file.Read(buffer);
    *error = read.error;
    // A text that filled the buffer was cut after a line, so nearly full means perhaps cut.
    if (read.error != 0 || read.text.size() + 4096 < size || size > (size_t{64} << 20)) {
      return std::string(read.text);
    }
  }
}

}  // namespace floodwall

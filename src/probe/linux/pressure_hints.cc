#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "probe/linux/hint_source.h"

namespace floodwall {
namespace {

// Some task waited for memory 150 ms of 2 s.
constexpr std::string_view kTrigger = "some 150000 2000000";

/// A pressure file with a trigger: polled, never read.
class PressureTrigger final : public HintSource {
 public:
  PressureTrigger(int fd, std::string name) : HintSource(fd, POLLPRI, std::move(name)) {}
  Found Take(short revents) override {
    if ((revents & (POLLERR | POLLNVAL | POLLHUP)) != 0) return Found::kLost;
    return (revents & POLLPRI) != 0 ? Found::kHint : Found::kNothing;
  }
};

/// A FIFO or socket on which a service manager writes: what it writes means nothing.
class PressureStream final : public HintSource {
 public:
  PressureStream(int fd, std::string name) : HintSource(fd, POLLIN, std::move(name)) {}
  Found Take(short revents) override {
    if ((revents & POLLIN) == 0) return Found::kLost;
    std::array<char, 512> ignored;
    bool any = false;
    for (ssize_t got;;) {
      got = ::read(fd_, ignored.data(), ignored.size());
      if (got > 0) any = true;
      if (got == 0) return any ? Found::kHint : Found::kLost;
      if (got < 0) break;
    }
    return any ? Found::kHint : Found::kNothing;
  }
};

bool WriteAll(int fd, std::string_view text) {
  return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::unique_ptr<HintSource> OpenTrigger(const std::string& path, std::string_view trigger) {
  const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return nullptr;
  // The kernel wants the terminating zero.
  std::string text(trigger);
  if (text.empty() || text.back() != '\0') text += '\0';
  auto source = std::make_unique<PressureTrigger>(fd, path);
  return WriteAll(fd, text) ? std::move(source) : nullptr;
}

std::unique_ptr<HintSource> OpenSocket(const std::string& path, std::string_view first) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return nullptr;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  auto source = std::make_unique<PressureStream>(fd, path);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      (!first.empty() && ::send(fd, first.data(), first.size(), MSG_NOSIGNAL) < 0)) {
    return nullptr;
  }
  return source;
}

std::unique_ptr<HintSource> OpenFifo(const std::string& path, std::string_view first) {
  // Opened for both, so that it does not end when a writer leaves.
  const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return nullptr;
  auto source = std::make_unique<PressureStream>(fd, path);
  return first.empty() || WriteAll(fd, first) ? std::move(source) : nullptr;
}

}  // namespace

void AddPressure(KernelCalls* calls, const std::vector<std::string>& pressure_files,
                 HintSources* out) {
  const char* watch = calls->Environment("MEMORY_PRESSURE_WATCH");
  if (watch != nullptr && watch[0] != '\0') {
    const std::string path(watch);
    if (path == "/dev/null") return;  // the service manager's word for: do not watch
    const char* encoded = calls->Environment("MEMORY_PRESSURE_WRITE");
    const std::string first = encoded == nullptr ? "" : DecodeBase64(encoded);
    struct stat status;
    std::unique_ptr<HintSource> source;
    if (::stat(path.c_str(), &status) == 0) {
      if (S_ISSOCK(status.st_mode)) {
        source = OpenSocket(path, first);
      } else if (S_ISFIFO(status.st_mode)) {
        source = OpenFifo(path, first);
      } else if (S_ISREG(status.st_mode)) {
        source = OpenTrigger(path, first.empty() ? kTrigger : std::string_view(first));
      }
    }
    if (source != nullptr) {
      out->push_back(std::move(source));
      return;
    }
  }
  for (const std::string& path : pressure_files) {
    if (auto source = OpenTrigger(path, kTrigger)) {
      out->push_back(std::move(source));
      return;
    }
  }
}

}  // namespace floodwall

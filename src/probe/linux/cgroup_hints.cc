#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "probe/kept_file.h"
#include "probe/kernel_text.h"
#include "probe/linux/hint_source.h"

namespace floodwall {
namespace {

/// The counters of a memory.events file whose rise matters.
using Counters = std::array<int64_t, 4>;

Counters ReadCounters(KeptFile* file) {
  std::array<char, 512> buffer;
  Counters out{};
  FindNumbers(file->Read(buffer).text,
              {{"high", &out[0]}, {"max", &out[1]}, {"oom", &out[2]}, {"oom_kill", &out[3]}});
  return out;
}

class EventsFiles final : public HintSource {
 public:
  EventsFiles(int fd, std::string name, KernelCalls* calls, const std::vector<std::string>& paths)
      : HintSource(fd, POLLIN, std::move(name)) {
    for (const std::string& path : paths) {
      if (::inotify_add_watch(fd, path.c_str(), IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF) < 0)
        continue;
      files_.push_back({KeptFile(calls, path), {}});
      // What happened before is no news.
      files_.back().before = ReadCounters(&files_.back().file);
    }
  }
  bool watches_any() const { return !files_.empty(); }

  Found Take(short revents) override {
    if ((revents & POLLIN) == 0) return Found::kLost;
    alignas(inotify_event) std::array<char, 4096> ignored;
    while (::read(fd_, ignored.data(), ignored.size()) > 0) {
    }
    bool rose = false;
    for (Watched& watched : files_) {
      if (::access(watched.file.path().c_str(), F_OK) != 0) return Found::kLost;
      const Counters now = ReadCounters(&watched.file);
      for (size_t i = 0; i < now.size(); ++i) rose |= now[i] > watched.before[i];
      watched.before = now;
    }
    return rose ? Found::kHint : Found::kNothing;
  }

 private:
  struct Watched {
    KeptFile file;
    Counters before;
  };
  std::vector<Watched> files_;
};

class UsageThreshold final : public HintSource {
 public:
  UsageThreshold(int fd, std::string usage)
      : HintSource(fd, POLLIN, usage), usage_(std::move(usage)) {}

  Found Take(short revents) override {
    uint64_t count = 0;
    if ((revents & POLLIN) == 0 || ::read(fd_, &count, sizeof count) < 0) return Found::kLost;
    // The kernel also wakes the waiters of a directory that is removed.
    return ::access(usage_.c_str(), F_OK) == 0 ? Found::kHint : Found::kLost;
  }

 private:
  const std::string usage_;
};

bool Register(int control, int event, int usage, int64_t threshold) {
  char text[96];
  const int length = std::snprintf(text, sizeof text, "%d %d %lld", event, usage,
                                   static_cast<long long>(threshold));
  return ::write(control, text, static_cast<size_t>(length)) == length;
}

int OpenFor(const std::string& path, int flags) { return ::open(path.c_str(), flags | O_CLOEXEC); }

}  // namespace

void AddCgroupEvents(const std::string& root, KernelCalls* calls, const CgroupLocation& location,
                     HintSources* out) {
  if (location.version != CgroupVersion::kV2) return;
  std::vector<std::string> paths;
  for (const std::string& directory : location.directories) {
    paths.push_back(root + directory + "/memory.events");
  }
  const int fd = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return;
  auto source = std::make_unique<EventsFiles>(fd, paths.front(), calls, paths);
  if (source->watches_any()) out->push_back(std::move(source));
}

void AddUsageThresholds(const std::string& root, const CgroupLocation& location, HintSources* out) {
  if (location.version != CgroupVersion::kV1) return;
  for (const std::string& directory : location.directories) {
    const std::string path = root + directory;
    KeptFile limit_file(KernelCalls::Native(), path + "/memory.limit_in_bytes");
    std::array<char, 64> buffer;
    const auto limit = ParseNumber(limit_file.Read(buffer).text);
    if (!limit || *limit == 0 || *limit >= int64_t{1} << 60) continue;
    const int control = OpenFor(path + "/cgroup.event_control", O_WRONLY);
    if (control < 0) continue;
    const std::string usage_path = path + "/memory.usage_in_bytes";
    const int usage = OpenFor(usage_path, O_RDONLY);
    const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool registered = usage >= 0 && event >= 0;
    for (const int64_t percent : {70, 90, 97}) {
      registered = registered && Register(control, event, usage, *limit / 100 * percent);
    }
    ::close(control);
    if (usage >= 0) ::close(usage);
    if (registered) {
      out->push_back(std::make_unique<UsageThreshold>(event, usage_path));
    } else if (event >= 0) {
      ::close(event);
    }
  }
}

}  // namespace floodwall

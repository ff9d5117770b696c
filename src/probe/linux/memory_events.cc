#include "probe/linux/memory_events.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <mutex>
#include <new>

#include "probe/kept_file.h"
#include "probe/linux/hint_source.h"

namespace floodwall {
namespace {

constexpr size_t kMostSources = 24;
// How long a sleep lasts at most when the pipe that interrupts it was closed by somebody.
constexpr int64_t kSliceNs = 50'000'000;

class LinuxMemoryEvents final : public MemoryEvents {
 public:
  explicit LinuxMemoryEvents(const LinuxEventOptions& options) : options_(options) {}
  ~LinuxMemoryEvents() override {
    const std::lock_guard guard(lock_);
    ClosePipe();
  }

  bool Open() {
    const std::lock_guard guard(lock_);
    return OpenPipe();
  }

  int64_t Now() override {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }

  Wake Wait(int64_t timeout_ns) override {
    const int64_t until = Now() + timeout_ns;
    Search();
    for (;;) {
      const int64_t now = Now();
      int64_t wait = std::max<int64_t>(0, until - now);
      const bool quiet = now < quiet_until_;
      if (quiet) wait = std::min(wait, quiet_until_ - now);
      const Wake wake = WaitOnce(wait, !quiet);
      if (wake != Wake::kTime) return wake;
      if (Now() >= until) return Wake::kTime;
    }
  }

  void Interrupt() override {
    const std::lock_guard guard(lock_);
    interrupted_ = true;
    const char byte = 1;
    // A number that now is another file's must not be written to.
    if (PipeIsOurs()) static_cast<void>(!::write(pipe_[1], &byte, 1));
  }

  std::vector<std::string> Sources() override {
    const std::lock_guard guard(lock_);
    return names_;
  }

 private:
  Wake WaitOnce(int64_t wait_ns, bool with_hints) {
    std::array<pollfd, kMostSources + 1> polled;
    {
      const std::lock_guard guard(lock_);
      if (interrupted_) return TakeInterrupt();
      if (!PipeIsOurs() && !OpenPipe()) wait_ns = std::min(wait_ns, kSliceNs);
      polled[0] = {pipe_[0], POLLIN, 0};
    }
    nfds_t count = 1;
    if (with_hints) {
      for (const auto& source : sources_) {
        if (count < polled.size()) polled[count++] = {source->fd(), source->events(), 0};
      }
    }
    const timespec wait{wait_ns / 1'000'000'000, static_cast<long>(wait_ns % 1'000'000'000)};
    const int ready = ::ppoll(polled.data(), count, &wait, nullptr);
    {
      const std::lock_guard guard(lock_);
      if (interrupted_) return TakeInterrupt();
    }
    return ready > 0 && count > 1 && Take({polled.data() + 1, count - 1}) ? Wake::kHint
                                                                          : Wake::kTime;
  }

  /// True when one of them hints. Sources that are lost go, and are looked for again.
  bool Take(std::span<const pollfd> polled) {
    bool hint = false, lost = false;
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const HintSource::Found found =
          sources_[i]->IsOurs() ? sources_[i]->Take(polled[i].revents) : HintSource::Found::kLost;
      hint |= found != HintSource::Found::kNothing;
      if (found == HintSource::Found::kLost) {
        sources_[i].reset();
        lost = true;
      }
    }
    if (lost) {
      std::erase(sources_, nullptr);
      text_.clear();
      search_at_ = Now() + options_.retry_ns;
      Publish();
    }
    // Counters that rise without a hint to give must not spin either.
    quiet_until_ = Now() + options_.quiet_ns;
    return hint;
  }

  void Search() {
    const int64_t now = Now();
    if (now < search_at_) return;
    search_at_ = now + options_.search_every_ns;
    try {
      int error = 0;
      std::string text = ReadWholeFile(options_.calls, options_.root + "/proc/self/cgroup", &error);
      if (!text_.empty() && text == text_) return;
      const std::string mounts =
          ReadWholeFile(options_.calls, options_.root + "/proc/self/mountinfo", &error);
      const CgroupLocation location = LocateCgroup(text, mounts);
      sources_.clear();
      AddCgroupEvents(options_.root, options_.calls, location, &sources_);
      AddUsageThresholds(options_.root, location, &sources_);
      std::vector<std::string> pressure;
      if (!location.pressure_directory.empty()) {
        pressure.push_back(options_.root + location.pressure_directory + "/memory.pressure");
      }
      pressure.push_back(options_.root + "/proc/pressure/memory");
      AddPressure(options_.calls, pressure, &sources_);
      text_ = std::move(text);
      Publish();
    } catch (const std::bad_alloc&) {
      sources_.clear();  // sampling goes on by time
    }
  }

  void Publish() {
    const std::lock_guard guard(lock_);
    names_.clear();
    for (const auto& source : sources_) names_.push_back(source->name());
  }

  // The pipe, with lock_ held.
  bool OpenPipe() {
    pipe_ = {-1, -1};
    if (::pipe2(pipe_.data(), O_CLOEXEC | O_NONBLOCK) != 0) return false;
    return options_.calls->Identify(pipe_[0], &id_) == 0;
  }
  bool PipeIsOurs() {
    KernelCalls::FileId read, write;
    return pipe_[0] >= 0 && options_.calls->Identify(pipe_[0], &read) == 0 && read == id_ &&
           options_.calls->Identify(pipe_[1], &write) == 0 && write == id_;
  }
  void ClosePipe() {
    if (!PipeIsOurs()) return;
    for (const int fd : pipe_) ::close(fd);
  }
  Wake TakeInterrupt() {
    interrupted_ = false;
    char ignored[64];
    if (PipeIsOurs()) {
      // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): the pipe does not block
      while (::read(pipe_[0], ignored, sizeof ignored) > 0) {
      }
    }
    return Wake::kInterrupt;
  }

  const LinuxEventOptions options_;
  std::mutex lock_;
  std::array<int, 2> pipe_{-1, -1};  ///< guarded, with what follows, by lock_
  KernelCalls::FileId id_;
  bool interrupted_ = false;
  std::vector<std::string> names_;

  HintSources sources_;  ///< the sampler's own, with what follows
  std::string text_;     ///< of /proc/self/cgroup when the sources were opened
  int64_t search_at_ = 0;
  int64_t quiet_until_ = 0;
};

}  // namespace

std::unique_ptr<MemoryEvents> MakeLinuxMemoryEvents(const LinuxEventOptions& options) {
  auto events = std::make_unique<LinuxMemoryEvents>(options);
  if (!events->Open()) return nullptr;
  return events;
}

}  // namespace floodwall

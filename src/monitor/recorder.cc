#include "floodwall/recorder.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <vector>

#include "base/fork_epoch.h"
#include "floodwall/version.h"
#include "monitor/recording_format.h"
#include "probe/mapped_file.h"

namespace floodwall {
namespace {

using recording::kEndBytes;
using recording::kHeaderBytes;
using recording::kRecordBytes;

int64_t RealNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::vector<char> ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string CommandLine() {
  std::vector<char> text = ReadBytes("/proc/self/cmdline");
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::replace(text.begin(), text.end(), '\0', ' ');
  return {text.begin(), text.end()};
}

RecordingHeader DescribeProcess(const MemoryMonitor& monitor) {
  const MemoryReadings read = monitor.probe()->ReadAll();
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  RecordingHeader out;
  out.version = 1;
  out.pid = ::getpid();
  out.started_ns = RealNow();
  out.host_total_bytes = read.host_total.value;
  out.limit_bytes = read.limit.value;
  out.oom_kill_count = read.oom_kill_count.value;
  out.max_arrow_bytes = monitor.max_arrow_bytes();
  out.max_process_bytes = monitor.max_process_bytes();
  out.min_available_bytes = monitor.min_available_bytes();
  out.host_name = host.data();
  out.limit_source = read.limit.source;
  out.library_version = FLOODWALL_VERSION;
  out.command_line = CommandLine();
  return out;
}

}  // namespace

class Recorder::Ring {
 public:
  Ring(std::unique_ptr<MappedFile> file, std::shared_ptr<MemoryMonitor> monitor,
       const RecorderOptions& options)
      : file_(std::move(file)), monitor_(std::move(monitor)), options_(options) {}

  bool IsOurs() const { return epoch_ == ForkEpoch(); }
  int64_t recorded() const { return recorded_.load(std::memory_order_acquire); }

  void Record(const MemorySample& sample) {
    const MemoryReadings read = monitor_->probe()->ReadAll();
    MemoryRecord record;
    record.time_ns = RealNow();
    record.arrow_bytes = sample.status.arrow_bytes;
    record.arrow_peak_bytes = sample.status.arrow_peak_bytes;
    record.rss_bytes = sample.status.rss_bytes;
    record.rss_anon_bytes = read.rss_anon.value;
    record.available_bytes = sample.status.available_bytes;
    record.limit_bytes = read.limit.value;
    record.oom_kill_count = read.oom_kill_count.value;
    record.level = sample.level;
    if (options_.holders) record.holders = options_.holders();
    const std::lock_guard guard(lock_);
    if (closed_) return;
    record.sequence = recorded_.load(std::memory_order_relaxed) + 1;
    const size_t slot = static_cast<size_t>((record.sequence - 1) % options_.records);
    if (Store(kHeaderBytes + slot * kRecordBytes, recording::Encode(record))) {
      recorded_.store(record.sequence, std::memory_order_release);
    }
  }

  void Close(std::string_view ending) {
    const std::lock_guard guard(lock_);
    if (std::exchange(closed_, true)) return;
    Store(kHeaderBytes - kEndBytes, recording::Encode({RealNow(), std::string(ending)}));
  }

 private:
  template <typename Image>
  bool Store(size_t at, const Image& image) {
    const std::span<char> bytes = file_->bytes();
    if (bytes.size() < at + image.size()) return false;
    std::memcpy(bytes.data() + at, image.data(), image.size());
    return true;
  }

  const uint64_t epoch_ = ForkEpoch();
  const std::unique_ptr<MappedFile> file_;
  const std::shared_ptr<MemoryMonitor> monitor_;
  const RecorderOptions options_;
  std::mutex lock_;
  bool closed_ = false;
  std::atomic<int64_t> recorded_{0};
};

arrow::Result<std::shared_ptr<Recorder>> Recorder::Create(const std::string& path,
                                                          std::shared_ptr<MemoryMonitor> monitor,
                                                          const RecorderOptions& options) {
  if (monitor == nullptr) return arrow::Status::Invalid("monitor must not be null");
  constexpr int64_t kMostRecords = int64_t{1} << 24;
  if (options.records < 1 || options.records > kMostRecords) {
    return arrow::Status::Invalid("records must be between 1 and ", kMostRecords, ", got ",
                                  options.records);
  }
  std::array<char, kHeaderBytes> start;
  std::ifstream existing(path, std::ios::binary);
  existing.read(start.data(), start.size());
  const auto got = static_cast<size_t>(existing.gcount());
  if (got > 0 && !recording::LooksLikeRecording({start.data(), got})) {
    return arrow::Status::Invalid("'", path, "' exists and is not a recording; it is kept");
  }
  RecordingHeader process = DescribeProcess(*monitor);
  process.max_anonymous_bytes = static_cast<double>(options.max_anonymous_bytes);
  const auto header = recording::Encode(process, options.records);
  int error = 0;
  auto file = MappedFile::Create(
      path, kHeaderBytes + static_cast<size_t>(options.records) * kRecordBytes, header, &error);
  if (file == nullptr) {
    return arrow::Status::IOError("the recording '", path,
                                  "' cannot be made: ", std::strerror(error));
  }
  return std::shared_ptr<Recorder>(
      new Recorder(std::make_unique<Ring>(std::move(file), std::move(monitor), options)));
}

Recorder::Recorder(std::unique_ptr<Ring> ring) : ring_(std::move(ring)) {}

Recorder::~Recorder() { Close(); }

void Recorder::Record(const MemorySample& sample) {
  // The mapping is shared with the parent, whose recording this is.
  if (ring_->IsOurs()) ring_->Record(sample);
}

void Recorder::Close(std::string_view ending) {
  if (ring_->IsOurs()) ring_->Close(ending);
}

int64_t Recorder::recorded() const { return ring_->recorded(); }

arrow::Result<Recording> ReadRecording(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return arrow::Status::IOError("the recording '", path,
                                  "' cannot be opened: ", std::strerror(errno));
  }
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file),
                                std::istreambuf_iterator<char>()};
  const std::span<const char> all(bytes);
  Recording out;
  if (const auto header = recording::DecodeHeader(all)) {
    if (header->version != 1) {
      return arrow::Status::Invalid("'", path, "' is a recording of version ", header->version,
                                    ", this library reads version 1");
    }
    out.header = *header;
    out.header_intact = true;
  }
  if (all.size() >= kHeaderBytes) {
    if (auto end = recording::DecodeEnd(all.subspan(kHeaderBytes - kEndBytes, kEndBytes))) {
      out.finished_ns = end->finished_ns;
      out.ending = std::move(end->ending);
    }
  }
  constexpr std::array<char, kRecordBytes> kNeverWritten{};
  for (size_t at = kHeaderBytes; at < all.size(); at += kRecordBytes) {
    const auto image = all.subspan(at, std::min(kRecordBytes, all.size() - at));
    if (auto record = recording::DecodeRecord(image)) {
      out.records.push_back(*std::move(record));
    } else if (std::memcmp(image.data(), kNeverWritten.data(), image.size()) != 0) {
      ++out.damaged_records;
    }
  }
  if (!out.header_intact && out.records.empty() && !recording::LooksLikeRecording(all)) {
    return arrow::Status::Invalid("'", path, "' is not a recording");
  }
  std::sort(out.records.begin(), out.records.end(),
            [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  return out;
}

}  // namespace floodwall

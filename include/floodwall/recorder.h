#pragma once

/// Records memory figures into a file that outlives a killed process, and reads them back.
///
/// The file is a header and a ring of fixed-size records, each with a checksum, mapped into
/// memory: what was recorded is in the file when the process is killed by SIGKILL. (A crash of the
/// machine may lose it: nothing is synced.) A watch's sampler feeds it:
///   auto recorder = Recorder::Create("job.flood", monitor).ValueOrDie();
///   watch->Observe([recorder](const MemorySample& sample) { recorder->Record(sample); });
///
/// Threading: Record and Close from any thread. Errors: Create and ReadRecording return them;
/// Record drops what it cannot write. Fork: a child's calls do nothing.
/// Units: bytes; nanoseconds since the epoch. -1 is unknown.
/// Lifetime: Create shares the monitor. Close, or destruction, marks an orderly end.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arrow/result.h"
#include "floodwall/export.h"
#include "floodwall/memory_monitor.h"
#include "floodwall/memory_watch.h"

namespace floodwall {

/// Who holds how many bytes, such as Budget::Holders() gives.
using MemoryHolders = std::vector<std::pair<std::string, int64_t>>;

struct RecorderOptions {
  /// In the ring; the oldest is replaced. A record takes 256 bytes.
  int64_t records = 4096;
  /// Asked at each record for holders, largest first; the first four are kept.
  std::function<MemoryHolders()> holders = nullptr;
  /// A limit on the anonymous memory recorded, beside the monitor's limits; 0: none.
  int64_t max_anonymous_bytes = 0;
};

/// One moment.
struct MemoryRecord {
  int64_t sequence = 0;  ///< from 1
  int64_t time_ns = 0;
  int64_t arrow_bytes = -1;
  int64_t arrow_peak_bytes = -1;
  int64_t rss_bytes = -1;
  int64_t rss_anon_bytes = -1;
  int64_t available_bytes = -1;
  int64_t limit_bytes = -1;
  int64_t oom_kill_count = -1;
  MemoryPressureLevel level = MemoryPressureLevel::kNormal;
  MemoryHolders holders;  ///< names are cut to 31 bytes
};

/// Who recorded, and against which limits.
struct RecordingHeader {
  int64_t version = 0;
  int64_t pid = 0;
  int64_t started_ns = 0;
  int64_t host_total_bytes = -1;
  int64_t limit_bytes = -1;
  int64_t oom_kill_count = -1;  ///< at the start
  double max_arrow_bytes = 0;
  double max_process_bytes = 0;
  double min_available_bytes = 0;
  double max_anonymous_bytes = 0;
  std::string host_name;
  std::string limit_source;
  std::string library_version;
  std::string command_line;  ///< arguments with blanks between them, cut
};

struct Recording {
  RecordingHeader header;
  bool header_intact = false;  ///< false: the header's fields are not to be trusted
  /// When the process closed it; -1 when it was killed, or still runs.
  int64_t finished_ns = -1;
  std::string ending;                 ///< as told at the end, or empty
  std::vector<MemoryRecord> records;  ///< oldest first
  int64_t damaged_records = 0;        ///< torn or corrupt, left out
};

class FLOODWALL_EXPORT Recorder {
 public:
  /// Makes the file, in place of an older recording. Invalid for options out of range and for a
  /// file that is no recording; IOError when it cannot be made.
  static arrow::Result<std::shared_ptr<Recorder>> Create(const std::string& path,
                                                         std::shared_ptr<MemoryMonitor> monitor,
                                                         const RecorderOptions& options = {});
  ~Recorder();

  void Record(const MemorySample& sample);
  /// Records nothing more. `ending` says how what was recorded ended; it is cut to 239 bytes.
  void Close(std::string_view ending = {});
  int64_t recorded() const;

 private:
  class Ring;
  explicit Recorder(std::unique_ptr<Ring> ring);
  std::unique_ptr<Ring> ring_;
};

/// Reads a recording, also one of a process that still runs or was killed in the middle of a
/// record, and one that is cut short or corrupt in places. Invalid when nothing in it is one.
FLOODWALL_EXPORT arrow::Result<Recording> ReadRecording(const std::string& path);

}  // namespace floodwall

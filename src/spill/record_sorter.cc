#include "spill/record_sorter.h"

#include <algorithm>

namespace floodwall {
namespace {

constexpr int64_t kRecordBytes = static_cast<int64_t>(sizeof(SpillRecord));
/// Read from a run at once: as much as a disk likes, as little as many runs allow.
constexpr int64_t kReadBytes = 64 << 10;

}  // namespace

/// The front of one run, refilled from the file.
class RecordSorter::RunReader {
 public:
  RunReader(const SpillFile* file, Run run, std::shared_ptr<arrow::Buffer> buffer)
      : file_(file), run_(run), buffer_(std::move(buffer)) {}

  const SpillRecord& front() const {
    return reinterpret_cast<const SpillRecord*>(buffer_->data())[position_];
  }
  /// False when the run is at its end.
  arrow::Result<bool> Advance() {
    if (++position_ < filled_) return true;
    return Fill();
  }
  arrow::Result<bool> Fill() {
    position_ = 0;
    filled_ = std::min(run_.count, buffer_->size() / kRecordBytes);
    if (filled_ == 0) return false;
    ARROW_RETURN_NOT_OK(
        file_->ReadAt(run_.offset, filled_ * kRecordBytes, buffer_->mutable_data()));
    run_.offset += filled_ * kRecordBytes;
    run_.count -= filled_;
    return true;
  }

 private:
  const SpillFile* file_;
  Run run_;
  std::shared_ptr<arrow::Buffer> buffer_;
  int64_t position_ = 0;
  int64_t filled_ = 0;
};

/// Several runs read as one, by a heap of their fronts.
struct RecordSorter::Merge {
  std::vector<RunReader> readers;
  std::vector<size_t> heap;

  bool Later(size_t a, size_t b) const { return readers[b].front() < readers[a].front(); }
  void Push(size_t reader) {
    heap.push_back(reader);
    std::push_heap(heap.begin(), heap.end(), [&](size_t a, size_t b) { return Later(a, b); });
  }
  arrow::Result<bool> Next(SpillRecord* out) {
    if (heap.empty()) return false;
    std::pop_heap(heap.begin(), heap.end(), [&](size_t a, size_t b) { return Later(a, b); });
    const size_t first = heap.back();
    heap.pop_back();
    *out = readers[first].front();
    ARROW_ASSIGN_OR_RAISE(const bool more, readers[first].Advance());
    if (more) Push(first);
    return true;
  }
};

RecordSorter::RecordSorter(SpillDirectory* directory, int64_t memory_bytes, arrow::MemoryPool* pool)
    : directory_(directory),
      capacity_(std::max(memory_bytes, kMinimumBytes) / kRecordBytes),
      pool_(pool) {}

RecordSorter::~RecordSorter() = default;

arrow::Status RecordSorter::Grow() {
  constexpr int64_t kFirst = kMinimumBytes / kRecordBytes;
  if (!buffer_) {
    ARROW_ASSIGN_OR_RAISE(buffer_, arrow::AllocateResizableBuffer(kFirst * kRecordBytes, pool_));
    return arrow::Status::OK();
  }
  const int64_t more = std::min(capacity_, 2 * (buffer_->size() / kRecordBytes));
  // A budget that denies more is no error: what is here goes to the disk earlier.
  if (held_ < capacity_ && buffer_->Resize(more * kRecordBytes, false).ok()) {
    return arrow::Status::OK();
  }
  return WriteRun();
}

arrow::Status RecordSorter::Add(SpillRecord record) {
  if (!buffer_ || held_ == buffer_->size() / kRecordBytes) ARROW_RETURN_NOT_OK(Grow());
  records()[held_++] = record;
  ++size_;
  return arrow::Status::OK();
}

arrow::Status RecordSorter::WriteRun() {
  if (held_ == 0) return arrow::Status::OK();
  if (!file_) {
    ARROW_ASSIGN_OR_RAISE(file_, directory_->NewFile());
  }
  std::sort(records(), records() + held_);
  const Run run{file_->size(), held_};
  ARROW_RETURN_NOT_OK(file_->Append(records(), held_ * kRecordBytes));
  runs_.push_back(run);
  held_ = 0;
  return arrow::Status::OK();
}

arrow::Result<std::unique_ptr<RecordSorter::Merge>> RecordSorter::StartMerge(size_t first,
                                                                             size_t last) {
  auto merge = std::make_unique<Merge>();
  for (size_t r = first; r < last; ++r) {
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer,
                          arrow::AllocateBuffer(kReadBytes, pool_));
    merge->readers.emplace_back(file_.get(), runs_[r], std::move(buffer));
  }
  for (size_t r = 0; r < merge->readers.size(); ++r) {
    ARROW_ASSIGN_OR_RAISE(const bool any, merge->readers[r].Fill());
    if (any) merge->Push(r);
  }
  return merge;
}

arrow::Status RecordSorter::MergeRounds() {
  const auto fan_in = static_cast<size_t>(std::max<int64_t>(
      2, capacity_ * kRecordBytes / kReadBytes - 1));  // one buffer for what is written
  while (runs_.size() > fan_in) {
    ARROW_ASSIGN_OR_RAISE(auto merged, directory_->NewFile());
    ARROW_ASSIGN_OR_RAISE(auto out, arrow::AllocateBuffer(kReadBytes, pool_));
    auto* gathered = reinterpret_cast<SpillRecord*>(out->mutable_data());
    std::vector<Run> runs;
    for (size_t first = 0; first < runs_.size(); first += fan_in) {
      ARROW_ASSIGN_OR_RAISE(auto merge, StartMerge(first, std::min(first + fan_in, runs_.size())));
      Run run{merged->size(), 0};
      int64_t n = 0;
      while (true) {
        ARROW_ASSIGN_OR_RAISE(const bool any, merge->Next(&gathered[n]));
        if (any) ++n;
        if (n == kReadBytes / kRecordBytes || (!any && n > 0)) {
          ARROW_RETURN_NOT_OK(merged->Append(gathered, n * kRecordBytes));
          run.count += n;
          n = 0;
        }
        if (!any) break;
      }
      runs.push_back(run);
    }
    file_ = std::move(merged);
    runs_ = std::move(runs);
  }
  return arrow::Status::OK();
}

arrow::Status RecordSorter::Rewind() {
  if (!ended_) {
    ended_ = true;
    if (runs_.empty()) {
      if (buffer_) std::sort(records(), records() + held_);
    } else {
      ARROW_RETURN_NOT_OK(WriteRun());
      buffer_.reset();
      ARROW_RETURN_NOT_OK(MergeRounds());
    }
  }
  next_ = 0;
  merge_.reset();
  if (!runs_.empty()) {
    ARROW_ASSIGN_OR_RAISE(merge_, StartMerge(0, runs_.size()));
  }
  return arrow::Status::OK();
}

void RecordSorter::Release() {
  buffer_.reset();
  merge_.reset();
  file_.reset();
  runs_.clear();
  held_ = 0;
}

arrow::Result<bool> RecordSorter::Next(SpillRecord* out) {
  if (merge_) return merge_->Next(out);
  if (next_ >= held_) return false;
  *out = records()[next_++];
  return true;
}

}  // namespace floodwall

#include "monitor/recording_format.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace floodwall::recording {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic("FLOODREC\r\n\x1a\n", 12);
constexpr size_t kMostHolders = 4;
constexpr size_t kNameBytes = 32;
constexpr size_t kEndingBytes = 240;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

/// CRC-32C; of nothing but zeros it is not zero, so an empty slot is no record.
uint32_t Checksum(std::span<const char> bytes) {
  uint32_t sum = ~0u;
  for (const char byte : bytes) {
    sum = sum >> 8 ^ kTable[(sum ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~sum;
}

/// Puts values one after another.
class Writer {
 public:
  explicit Writer(std::span<char> out) : out_(out) {}
  template <typename T>
  void Put(T value) {
    std::memcpy(out_.data() + at_, &value, sizeof value);
    at_ += sizeof value;
  }
  /// A text in a field of `size` bytes, cut so that a zero ends it.
  void PutText(std::string_view text, size_t size) {
    std::memcpy(out_.data() + at_, text.data(), std::min(text.size(), size - 1));
    at_ += size;
  }
  void Seal() {
    const uint32_t sum = Checksum(out_.first(out_.size() - sizeof sum));
    std::memcpy(out_.data() + out_.size() - sizeof sum, &sum, sizeof sum);
  }

 private:
  std::span<char> out_;
  size_t at_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const char> in) : in_(in) {}
  bool IsSealed() const {
    uint32_t sum;
    std::memcpy(&sum, in_.data() + in_.size() - sizeof sum, sizeof sum);
    return sum == Checksum(in_.first(in_.size() - sizeof sum));
  }
  template <typename T>
  void Get(T* value) {
    std::memcpy(value, in_.data() + at_, sizeof *value);
    at_ += sizeof *value;
  }
  std::string GetText(size_t size) {
    const std::string_view field(in_.data() + at_, size);
    at_ += size;
    return std::string(field.substr(0, field.find('\0')));
  }

 private:
  std::span<const char> in_;
  size_t at_ = 0;
};

constexpr size_t kSealedHeaderBytes = kHeaderBytes - kEndBytes;

}  // namespace

RecordImage Encode(const MemoryRecord& record) {
  RecordImage out{};
  Writer writer(out);
  for (const int64_t value : {record.sequence, record.time_ns, record.arrow_bytes,
                              record.arrow_peak_bytes, record.rss_bytes, record.rss_anon_bytes,
                              record.available_bytes, record.limit_bytes, record.oom_kill_count}) {
    writer.Put(value);
  }
  writer.Put(static_cast<uint32_t>(record.level));
  const size_t holders = std::min(record.holders.size(), kMostHolders);
  writer.Put(static_cast<uint32_t>(holders));
  for (size_t i = 0; i < holders; ++i) {
    writer.Put(record.holders[i].second);
    writer.PutText(record.holders[i].first, kNameBytes);
  }
  writer.Seal();
  return out;
}

std::optional<MemoryRecord> DecodeRecord(std::span<const char> image) {
  Reader reader(image);
  if (image.size() != kRecordBytes || !reader.IsSealed()) return std::nullopt;
  MemoryRecord out;
  for (int64_t* value :
       {&out.sequence, &out.time_ns, &out.arrow_bytes, &out.arrow_peak_bytes, &out.rss_bytes,
        &out.rss_anon_bytes, &out.available_bytes, &out.limit_bytes, &out.oom_kill_count}) {
    reader.Get(value);
  }
  uint32_t level, holders;
  reader.Get(&level);
  reader.Get(&holders);
  if (out.sequence <= 0 || level > 3 || holders > kMostHolders) return std::nullopt;
  out.level = static_cast<MemoryPressureLevel>(level);
  for (uint32_t i = 0; i < holders; ++i) {
    int64_t bytes;
    reader.Get(&bytes);
    out.holders.emplace_back(reader.GetText(kNameBytes), bytes);
  }
  return out;
}

HeaderImage Encode(const RecordingHeader& header, int64_t record_count) {
  HeaderImage out{};
  const std::span<char> sealed(out.data(), kSealedHeaderBytes);
  Writer writer(sealed);
  for (const char c : kMagic) writer.Put(c);
  writer.Put(static_cast<uint32_t>(kRecordBytes));
  for (const int64_t value : {header.version, record_count, header.pid, header.started_ns,
                              header.host_total_bytes, header.limit_bytes, header.oom_kill_count}) {
    writer.Put(value);
  }
  for (const double value : {header.max_arrow_bytes, header.max_process_bytes,
                             header.min_available_bytes, header.max_anonymous_bytes}) {
    writer.Put(value);
  }
  writer.PutText(header.library_version, 32);
  writer.PutText(header.host_name, 256);
  writer.PutText(header.limit_source, 1024);
  writer.PutText(header.command_line, 2048);
  writer.Seal();
  return out;
}

bool LooksLikeRecording(std::span<const char> image) {
  return image.size() >= kMagic.size() &&
         std::memcmp(image.data(), kMagic.data(), kMagic.size()) == 0;
}

std::optional<RecordingHeader> DecodeHeader(std::span<const char> image) {
  if (image.size() < kHeaderBytes || !LooksLikeRecording(image)) return std::nullopt;
  Reader reader(image.first(kSealedHeaderBytes));
  if (!reader.IsSealed()) return std::nullopt;
  reader.GetText(kMagic.size());
  uint32_t record_bytes;
  reader.Get(&record_bytes);
  RecordingHeader out;
  int64_t record_count = 0;
  for (int64_t* value : {&out.version, &record_count, &out.pid, &out.started_ns,
                         &out.host_total_bytes, &out.limit_bytes, &out.oom_kill_count}) {
    reader.Get(value);
  }
  for (double* value : {&out.max_arrow_bytes, &out.max_process_bytes, &out.min_available_bytes,
                        &out.max_anonymous_bytes}) {
    reader.Get(value);
  }
  out.library_version = reader.GetText(32);
  out.host_name = reader.GetText(256);
  out.limit_source = reader.GetText(1024);
  out.command_line = reader.GetText(2048);
  return out;
}

EndImage Encode(const End& end) {
  EndImage out{};
  Writer writer(out);
  writer.Put(end.finished_ns);
  writer.PutText(end.ending, kEndingBytes);
  writer.Seal();
  return out;
}

std::optional<End> DecodeEnd(std::span<const char> image) {
  Reader reader(image);
  if (image.size() != kEndBytes || !reader.IsSealed()) return std::nullopt;
  End out;
  reader.Get(&out.finished_ns);
  out.ending = reader.GetText(kEndingBytes);
  return out;
}

}  // namespace floodwall::recording

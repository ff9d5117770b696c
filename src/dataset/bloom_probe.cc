#include "dataset/bloom_probe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "dataset/parquet_thrift.h"
#include "dataset/pread_file.h"

namespace floodwall {
namespace {

namespace id = parquet_field::bloom_filter_header;

constexpr int64_t kMostHeader = 256;
/// BloomFilter.md: each picks a bit of one of the block's eight words.
constexpr std::array<uint32_t, 8> kSalt = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU, 0xa2b7289dU,
                                           0x705495c7U, 0x2df1424bU, 0x9efc4947U, 0x5c6bfb31U};

bool IsOnlyMember(const thrift::Value& header, int16_t field) {
  const thrift::Value* value = header.Find(field);
  return value != nullptr && value->type == thrift::Type::kStruct &&
         value->Find(id::kOnlyMember) != nullptr;
}

}  // namespace

arrow::Result<std::optional<BloomProbe>> BloomProbe::Open(std::shared_ptr<const ParquetSource> file,
                                                          int row_group, int column) {
  if (!file->has_bloom_filter(row_group, column)) return std::nullopt;
  const auto range = file->FindBloomFilter(row_group, column);
  if (!range.ok()) {
    if (range.status().IsIOError()) return range.status();
    return std::nullopt;
  }
  ARROW_ASSIGN_OR_RAISE(
      const std::string start,
      file->ReadRange(range->offset, std::min<int64_t>(kMostHeader, range->length)));
  size_t header_bytes = 0;
  const auto header = thrift::ParseStruct(start, &header_bytes);
  if (!header.ok() || !IsOnlyMember(*header, id::kAlgorithm) || !IsOnlyMember(*header, id::kHash) ||
      !IsOnlyMember(*header, id::kCompression)) {
    return std::nullopt;
  }
  BloomProbe out;
  out.bits_begin_ = range->offset + static_cast<int64_t>(header_bytes);
  out.bits_bytes_ = header->GetInt(id::kNumBytes, -1);
  if (out.bits_bytes_ < kBlockBytes || out.bits_bytes_ % kBlockBytes != 0 ||
      out.bits_bytes_ != range->length - static_cast<int64_t>(header_bytes)) {
    return std::nullopt;
  }
  out.file_ = std::move(file);
  return out;
}

double BloomProbe::FalseShare(int64_t values) const {
  const double set = 8.0 * static_cast<double>(values) / (8.0 * static_cast<double>(bits_bytes_));
  return std::pow(1.0 - std::exp(-set), 8);
}

arrow::Result<bool> BloomProbe::MayHold(uint64_t hash) const {
  const auto blocks = static_cast<uint64_t>(bits_bytes_ / kBlockBytes);
  const auto block = static_cast<int64_t>(((hash >> 32) * blocks) >> 32);
  std::array<uint32_t, 8> words;
  ARROW_ASSIGN_OR_RAISE(const int64_t n,
                        ReadFully(file_->fd(), file_->path(), bits_begin_ + block * kBlockBytes,
                                  kBlockBytes, words.data()));
  if (n != kBlockBytes) return true;
  const auto key = static_cast<uint32_t>(hash);
  for (size_t i = 0; i < words.size(); ++i) {
    const uint32_t bit = uint32_t{1} << ((key * kSalt[i]) >> 27);
    if ((words[i] & bit) == 0) return false;
  }
  return true;
}

}  // namespace floodwall

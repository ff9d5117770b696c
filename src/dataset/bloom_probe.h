#pragma once

/// The bloom filter of one column chunk, asked for few values: 32 bytes are read for each, never
/// the whole filter. The pruning of a merge's match asks it.
///
/// A filter that contradicts itself is as good as none: it only spares reading.
///
/// Threading: values. Errors: IOError of the system only. Units: bytes. Lifetime: holds its file.
/// Memory: 32 bytes.

#include <cstdint>
#include <memory>
#include <optional>

#include "arrow/result.h"
#include "dataset/parquet_source.h"

namespace floodwall {

class BloomProbe {
 public:
  static constexpr int64_t kBlockBytes = 32;

  /// Nothing where the chunk has no filter of the one kind that there is.
  static arrow::Result<std::optional<BloomProbe>> Open(std::shared_ptr<const ParquetSource> file,
                                                       int row_group, int column);

  /// How likely a value that is not there is found, with so many distinct ones in the chunk.
  double FalseShare(int64_t values) const;
  /// False: no value with this hash (XXH64 of its plain bytes) is in the chunk.
  arrow::Result<bool> MayHold(uint64_t hash) const;

 private:
  std::shared_ptr<const ParquetSource> file_;
  int64_t bits_begin_ = 0;
  int64_t bits_bytes_ = 0;
};

}  // namespace floodwall

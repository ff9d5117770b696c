#pragma once

/// Writes a Parquet file from pieces: row groups and column chunks copied as bytes from a base
/// file, and chunks encoded anew, under one footer made from the base file's own.
///
/// What a copied chunk keeps: statistics, encodings, page index, bloom filter, size
/// statistics, key-value metadata and every field unknown to us; only offsets change. The
/// footer keeps the base's schema, key-value metadata, created_by and column orders.
///
/// Threading: one thread. Errors: as Storage; kUnsupportedFile for a base that cannot be
/// copied. Units: bytes. Lifetime: shares the base file, owns the staged one. Memory: a
/// write buffer of 256 KiB and the indexes and filters kept until Finish, from `pool`'s budget.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "dataset/parquet_source.h"
#include "dataset/staged_output.h"
#include "floodwall/guarded_pool.h"

namespace floodwall {

/// A column chunk that was encoded anew straight into the assembler's sink.
struct EncodedChunk {
  std::string column_chunk;  ///< serialized ColumnChunk, absolute offsets
  std::string column_index;  ///< serialized ColumnIndex, empty for none
  std::string offset_index;  ///< serialized OffsetIndex, absolute offsets, empty for none
  std::string bloom_filter;  ///< header and bitset, empty for none
  bool keeps_order = false;  ///< values in the base's order, some perhaps missing
};

struct AssembledFile {
  std::string staged_path;
  int64_t size_bytes = 0;
  int64_t num_rows = 0;
  int64_t copied_bytes = 0;
  int64_t encoded_bytes = 0;
};

class ParquetAssembler {
 public:
  static arrow::Result<std::unique_ptr<ParquetAssembler>> Make(std::unique_ptr<StagedFile> output,
                                                               std::shared_ptr<ParquetSource> base,
                                                               GuardedPool* pool);

  /// Copies a whole row group of the base.
  arrow::Status CopyRowGroup(int base_row_group);

  /// A row group made chunk by chunk, in column order: one CopyChunk or AddEncodedChunk each.
  arrow::Status BeginRowGroup(int base_row_group);
  arrow::Status CopyChunk(int column);
  arrow::Status AddEncodedChunk(int column, EncodedChunk chunk);
  /// Sorting columns are kept up to the first one whose order may have changed.
  arrow::Status EndRowGroup(int64_t num_rows);

  /// Encoders write here; Tell() is the offset in the new file.
  const std::shared_ptr<StagedOutput>& sink() const { return sink_; }

  /// Writes indexes, bloom filters and footer; syncs and closes.
  arrow::Result<AssembledFile> Finish();

 private:
  /// What goes behind the row groups for one chunk.
  struct Trailer {
    std::string column_index;
    std::string offset_index;
    std::string bloom_filter;
  };
  ParquetAssembler() = default;
  arrow::Result<Trailer> ReadTrailer(int column, int64_t shift) const;
  arrow::Status WriteTrailers();
  arrow::Status Charge(const Trailer& trailer);

  std::shared_ptr<ParquetSource> base_;
  std::shared_ptr<StagedOutput> sink_;
  std::string staged_path_;
  thrift::Value footer_;
  std::vector<thrift::Value> groups_;
  std::vector<std::vector<Trailer>> trailers_;
  std::vector<bool> reordered_;
  thrift::Value group_;
  int base_group_ = -1;
  Reservation charge_;
  AssembledFile result_;
};

}  // namespace floodwall

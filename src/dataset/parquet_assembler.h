#pragma once

/// Writes a Parquet file from pieces: row groups and column chunks copied as bytes from a base
/// file, and chunks encoded anew, under one footer made from the base file's own.
///
/// What a copied chunk keeps: statistics, encodings, page index, bloom filter, size
/// statistics, key-value metadata and every field unknown to us; only offsets change. The
/// footer keeps the base's schema, key-value metadata, created_by and column orders.
///
/// Threading: one thread. Errors: as Storage; kUnsupportedFile for a base that cannot be
/// copied; Invalid for calls out of order, row counts that contradict each other and encoded
/// chunks that are not where they say. After an error nothing but destruction is left.
/// Units: bytes. Lifetime: shares the base file, owns the staged one. Memory, all charged to
/// `pool`'s budget before it is taken: a write buffer of 256 KiB, room for the footer of the
/// widest row group, 16 bytes a chunk, and what came with encoded chunks. Indexes and filters of
/// copied chunks stay in the base file until Finish copies them.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "arrow/util/key_value_metadata.h"
#include "dataset/chunk_metadata.h"
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
  /// The base's values in the base's order, some rows left out: a sorting stays true.
  bool only_rows_removed = false;
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

  /// The most an assembler over this base takes, beside what comes with encoded chunks. Reads the
  /// footer.
  static arrow::Result<int64_t> Need(const ParquetSource& base);

  /// Copies a whole row group of the base.
  arrow::Status CopyRowGroup(int base_row_group);

  /// A row group made chunk by chunk, in column order: one CopyChunk or AddEncodedChunk each.
  arrow::Status BeginRowGroup(int base_row_group);
  arrow::Status CopyChunk(int column);
  /// The chunk's pages are the last thing that was written to the sink, and all that was written
  /// since the chunk before.
  arrow::Status AddEncodedChunk(int column, EncodedChunk chunk);
  /// Appends a chunk of a column that the base does not have, behind the base's columns: the same
  /// new columns in every row group. ExtendSchema tells what they are.
  arrow::Status AddNewChunk(EncodedChunk chunk);
  /// Adds the one top-level column of another file to the schema.
  arrow::Status ExtendSchema(const ParquetSource& one_column);
  /// Replaces the value of a key of the file's metadata, if it is there.
  arrow::Status ReplaceMetadata(const std::string& key, const std::string& value);
  /// Gives the file this metadata instead of the base's.
  arrow::Status SetMetadata(const arrow::KeyValueMetadata& metadata);
  /// `num_rows` may differ from the base's when no chunk was copied. Sorting columns are kept up
  /// to the first one with other values.
  arrow::Status EndRowGroup(int64_t num_rows);

  /// Encoders write here; Tell() is the offset in the new file.
  const std::shared_ptr<StagedOutput>& sink() const { return sink_; }

  /// Writes bloom filters, indexes and footer; syncs and closes.
  arrow::Result<AssembledFile> Finish();

 private:
  enum class State { kBetween, kInRowGroup, kEnded };
  /// One chunk of the new file. Its place: `shift` from the base's, or as encoded.
  struct OutChunk {
    int64_t shift = 0;
    uint32_t encoded = 0;  ///< index in encoded_ and 1; 0: copied
    uint32_t offset_index_bytes = 0;
  };
  struct OutRowGroup {
    int base = 0;
    int64_t num_rows = 0;
    int64_t begin = 0;
    std::vector<OutChunk> chunks;
  };
  /// Where the next bloom filter and indexes lie, while the footer is made.
  struct TrailerPositions {
    int64_t bloom_filter = 0;
    int64_t column_index = 0;
    int64_t offset_index = 0;
  };

  /// Room for an offset index of the base and what becomes of it.
  static constexpr int64_t kOffsetIndexRoom = 4;

  ParquetAssembler() = default;
  arrow::Status Expect(State state, const char* call);
  arrow::Status Misused(const std::string& why);
  /// Any error ends the assembler.
  arrow::Status Checked(arrow::Status status);
  arrow::Status DoCopyChunk(int column);
  arrow::Status DoAddEncodedChunk(int column, EncodedChunk chunk);
  arrow::Status KeepChunk(int column, EncodedChunk chunk, const ChunkFacts& facts);
  arrow::Result<thrift::Value> Header() const;
  void SetHeader(const thrift::Value& header);
  arrow::Status CheckPlace(int column, const ChunkFacts& facts) const;
  template <typename Visit>
  arrow::Status ForEachChunk(const Visit& visit);
  arrow::Status WriteBloomFilters();
  arrow::Status WriteColumnIndexes();
  arrow::Status WriteOffsetIndexes();
  arrow::Status WriteFooter(TrailerPositions at);
  arrow::Status AppendRowGroup(size_t group, TrailerPositions* at, std::string* out);
  arrow::Result<AssembledFile> DoFinish();

  std::shared_ptr<ParquetSource> base_;
  std::shared_ptr<StagedOutput> sink_;
  std::string staged_path_;
  State state_ = State::kBetween;
  std::deque<OutRowGroup> groups_;
  std::deque<EncodedChunk> encoded_;
  std::string header_;  ///< of the footer where it is not the base's
  int next_column_ = 0;
  bool group_has_copies_ = false;
  int64_t flat_rows_ = -1;   ///< rows of the group's encoded flat chunks; -1: none yet
  int64_t chunk_begin_ = 0;  ///< where the next chunk's pages begin
  Reservation charge_;
  AssembledFile result_;
};

}  // namespace floodwall

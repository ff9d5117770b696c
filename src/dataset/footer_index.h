#pragma once

/// Where things lie in a Parquet footer, and where it says the data lies. The footer itself stays
/// in the file: a wide one has tens of megabytes, its index 24 bytes a column chunk.
///
/// Reading it walks every byte of the footer once and refuses what readers could take in two
/// ways or what points out of the file, so that whoever parses a part of it later meets no
/// surprise.
///
/// Threading: immutable once read. Errors: kUnsupportedFile with the reason only (the caller
/// names the file); OutOfMemory when the budget refuses. Units: bytes; positions are of the file.
/// Memory: charged to `charge` before it is taken.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/status.h"
#include "dataset/thrift_cursor.h"
#include "floodwall/budget.h"

namespace floodwall {

struct FooterIndex {
  struct Chunk {
    int64_t data_begin = 0;  ///< first page; anywhere for a chunk without bytes
    int64_t data_length = 0;
    uint32_t begin =
        0;  ///< of its ColumnChunk, from the footer's start; ends where the next begins
    uint16_t elements = 0;  ///< of containers in it, capped: what a parse of it takes
    uint8_t physical_type = 0;
    bool has_page_index : 1 = false;
    bool has_bloom_filter : 1 = false;
  };
  struct RowGroup {
    int64_t num_rows = 0;
    uint32_t begin = 0;  ///< of its struct, from the footer's start
    uint32_t columns_end = 0;
    uint32_t end = 0;
  };

  int64_t footer_begin = 0;
  int64_t footer_end = 0;
  int64_t num_rows = 0;
  int64_t num_columns = 0;  ///< chunks in each row group
  int64_t schema_elements = 0;
  int64_t header_elements = 0;  ///< of all containers in `header`
  int64_t header_bytes = 0;
  int64_t row_group_count = 0;
  int64_t widest_row_group_bytes = 0;
  int64_t widest_row_group_elements = 0;
  std::vector<RowGroup> row_groups;
  std::vector<Chunk> chunks;  ///< row group by row group
  /// The FileMetaData struct as it is encoded, without num_rows and row_groups.
  std::string header;

  const Chunk& chunk(int row_group, int column) const {
    return chunks[static_cast<size_t>(row_group * num_columns + column)];
  }
  /// One past the last byte of a chunk's ColumnChunk struct, from the footer's start.
  uint32_t chunk_end(int row_group, int column) const {
    return column + 1 < num_columns ? chunk(row_group, column + 1).begin
                                    : row_groups[static_cast<size_t>(row_group)].columns_end;
  }
};

/// Reads bytes [begin, end) of `input`, which are the footer of a file of `file_size` bytes.
/// Without `charge` it is checked and counted only: row groups, chunks and header stay empty, and
/// no memory is taken.
arrow::Status ReadFooterIndex(thrift::Input* input, int64_t begin, int64_t end, int64_t file_size,
                              Reservation* charge, FooterIndex* out);

/// What a source with this index takes while one row group of it is read, beside pages and values.
int64_t FooterNeed(const FooterIndex& index);

/// What one of Arrow's file readers takes for itself, beside pages and values: 305 to 640 bytes a
/// schema element were measured, a third of it the header's.
int64_t ReaderBytes(const FooterIndex& index);

/// Memory of Arrow's FileMetaData parsed from `bytes` of Thrift with these many parts: measured,
/// with a margin.
int64_t ParsedMetadataBytes(int64_t bytes, int64_t schema_elements, int64_t chunks,
                            int64_t other_elements);

}  // namespace floodwall

#pragma once

/// Some pages of some flat column chunks of a row group, as a file that Arrow's readers take for
/// one whose chunks have no other pages. The pruning of a merge's match reads through it.
///
/// Each chunk keeps its place: its dictionary page, and behind it the selected pages without gaps.
/// Every selected page's header is checked against the page index before.
///
/// Threading: one thread. Errors: IOError, OutOfMemory, kUnsupportedFile for a footer that cannot
/// be parsed. Units: bytes, rows. Lifetime: holds the file. Memory: one range a page, charged to
/// the file's budget; Metadata() as a row group's of the file.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arrow/io/interfaces.h"
#include "arrow/result.h"
#include "dataset/page_index.h"
#include "dataset/parquet_source.h"

namespace floodwall {

class SelectedPages {
 public:
  SelectedPages() = default;
  SelectedPages(std::shared_ptr<ParquetSource> file, int row_group);

  /// Selects the pages of a column that have rows of `rows` (ascending, apart). False: the pages
  /// are not as the index says, and nothing may be left out.
  arrow::Result<bool> Add(int column, const PageIndex& index, const std::vector<RowRange>& rows);

  /// Bytes of dictionaries and selected pages.
  int64_t bytes() const { return bytes_; }
  /// Pages of that column, as rows of the row group, ascending.
  const std::vector<RowRange>& pages(int column) const { return chunks_.at(column).rows; }

  std::shared_ptr<arrow::io::RandomAccessFile> OpenInput(arrow::MemoryPool* pool) const;
  arrow::Result<std::shared_ptr<parquet::FileMetaData>> Metadata() const;

 private:
  friend class SelectedPagesFile;
  /// Bytes [begin, begin + length) of the composed file lie at `source` in the real one.
  struct Piece {
    int64_t begin = 0;
    int64_t length = 0;
    int64_t source = 0;
  };
  struct Chunk {
    std::vector<RowRange> rows;
    int64_t dictionary_bytes = 0;
    int64_t bytes = 0;  ///< all that is left of it
    int64_t values = 0;
  };

  std::shared_ptr<ParquetSource> file_;
  int row_group_ = 0;
  std::map<int, Chunk> chunks_;
  std::vector<Piece> pieces_;  ///< ascending within a column
  int64_t bytes_ = 0;
  std::shared_ptr<Reservation> charge_;
};

}  // namespace floodwall

#include "merge/read_row_group.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "arrow/table.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/byte_array_sizes.h"
#include "merge/new_values.h"
#include "merge/plain_values.h"
#include "parquet/arrow/reader.h"
#include "parquet/exception.h"
#include "parquet/file_reader.h"

namespace floodwall {
namespace {

constexpr int64_t kStreamBuffer = 64 * kKiB;
/// Pages of values without a bound are looked at together up to so many bytes.
constexpr int64_t kSmallPages = 64 * kKiB;

/// How many rows of a row group to read at once.
class BatchCutter {
 public:
  static arrow::Result<BatchCutter> Make(const std::shared_ptr<ParquetSource>& file, int row_group,
                                         const std::vector<std::string>& columns,
                                         int64_t batch_rows, GuardedPool* pool);
  /// From `row` on; cheap while rows ascend.
  int64_t Next(int64_t row) {
    int64_t rows = batch_rows_;
    for (Column& column : columns_) rows = std::min(rows, Fitting(&column, row));
    return rows;
  }

  /// Neighbouring pages: all of one encoding whose values have a known bound, else small ones
  /// together. A chunk may have a page for every few rows.
  struct Stretch {
    int64_t rows = 0;
    int64_t bytes = 0;  ///< uncompressed
    int8_t encoding = -1;
    bool dictionary = false;
  };
  /// One of byte arrays that may be long.
  struct Column {
    arrow::Status Add(const PageEntry& page);
    std::vector<Stretch> pages;
    Reservation charge;
    int64_t entry = 0;    ///< of a dictionary, the longest
    int64_t longest = 0;  ///< where values share prefixes
    size_t at = 0;        ///< stretch that has the row asked for last
    int64_t first = 0;    ///< row of that stretch
  };
  /// Nothing where the chunk is too small to matter.
  static arrow::Result<std::optional<Column>> Look(const std::shared_ptr<ParquetSource>& file,
                                                   int row_group, int leaf, GuardedPool* pool);

 private:
  static int64_t Fitting(Column* column, int64_t row) {
    const auto& pages = column->pages;
    if (row < column->first) column->first = static_cast<int64_t>(column->at = 0);
    while (column->at < pages.size() && row >= column->first + pages[column->at].rows) {
      column->first += pages[column->at++].rows;
    }
    int64_t bytes = 0;
    int64_t end = column->first;
    for (size_t p = column->at; p < pages.size(); ++p) {
      const int64_t begin = std::max(row, end);
      end += pages[p].rows;
      const int64_t value = pages[p].dictionary ? column->entry
                            : pages[p].encoding == parquet_field::kEncodingDeltaByteArray
                                ? column->longest
                                : 0;
      if (value > 0) {
        const int64_t fits = std::max<int64_t>(0, kMostBatchBytes - bytes) / value;
        if (begin + fits < end) return std::max<int64_t>(1, begin + fits - row);
        bytes += value * (end - begin);
        continue;
      }
      // Which values of a page are long is not known: it counts as a whole.
      if (begin > row && bytes + pages[p].bytes > kMostBatchBytes) return begin - row;
      bytes += pages[p].bytes;
    }
    return INT64_MAX;
  }

  int64_t batch_rows_ = 0;
  std::vector<Column> columns_;
};

bool IsFlat(const parquet::ColumnDescriptor& column) {
  return column.max_repetition_level() == 0 && column.max_definition_level() <= 1;
}

arrow::Status BatchCutter::Column::Add(const PageEntry& page) {
  const bool bounded =
      page.dictionary_encoded() || page.encoding == parquet_field::kEncodingDeltaByteArray;
  if (!pages.empty() && pages.back().encoding == page.encoding &&
      (bounded || pages.back().bytes + page.uncompressed_bytes <= kSmallPages)) {
    pages.back().rows += page.num_values;
    pages.back().bytes += page.uncompressed_bytes;
    return arrow::Status::OK();
  }
  if (pages.size() == pages.capacity()) {
    const size_t more = std::max<size_t>(16, 2 * pages.size());
    // Old and new ones exist at once while they move.
    ARROW_RETURN_NOT_OK(charge.Resize(static_cast<int64_t>(more * 3 / 2 * sizeof(Stretch))));
    pages.reserve(more);
  }
  pages.push_back(
      {page.num_values, page.uncompressed_bytes, page.encoding, page.dictionary_encoded()});
  return arrow::Status::OK();
}

arrow::Result<std::optional<BatchCutter::Column>> BatchCutter::Look(
    const std::shared_ptr<ParquetSource>& file, int row_group, int leaf, GuardedPool* pool) {
  const parquet::ColumnDescriptor& descr = *file->schema().Column(leaf);
  if (descr.physical_type() != parquet::Type::BYTE_ARRAY || !IsFlat(descr)) return std::nullopt;
  ARROW_ASSIGN_OR_RAISE(const auto metadata, file->RowGroupMetadata(row_group));
  const auto chunk_metadata = metadata->RowGroup(0)->ColumnChunk(leaf);
  bool repeats = false;  // values may be longer than the bytes that hold them
  for (const auto encoding : chunk_metadata->encodings()) {
    repeats |= encoding == parquet::Encoding::PLAIN_DICTIONARY ||
               encoding == parquet::Encoding::RLE_DICTIONARY ||
               encoding == parquet::Encoding::DELTA_BYTE_ARRAY;
  }
  if (!repeats && chunk_metadata->total_uncompressed_size() <= kMostBatchBytes) {
    return std::nullopt;
  }
  ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file, row_group, leaf));
  Column out;
  ARROW_ASSIGN_OR_RAISE(out.charge, Reservation::Make(file->budget(), 0));
  ARROW_ASSIGN_OR_RAISE(const ChunkPages pages,
                        SumUpPages(chunk, [&](const PageEntry& page) { return out.Add(page); }));
  if (repeats) {
    // Short entries cannot make a batch too large.
    ARROW_ASSIGN_OR_RAISE(out.entry, LongestEntry(chunk, pages, 32, pool));
    ARROW_ASSIGN_OR_RAISE(out.longest, LongestOfPrefixes(chunk, pages, pool));
  }
  return out;
}

arrow::Result<BatchCutter> BatchCutter::Make(const std::shared_ptr<ParquetSource>& file,
                                             int row_group, const std::vector<std::string>& columns,
                                             int64_t batch_rows, GuardedPool* pool) {
  BatchCutter out;
  out.batch_rows_ = batch_rows;
  for (int leaf = 0; leaf < file->num_columns(); ++leaf) {
    const std::string& name = file->schema().GetColumnRoot(leaf)->name();
    if (std::find(columns.begin(), columns.end(), name) == columns.end()) continue;
    ARROW_ASSIGN_OR_RAISE(auto column, Look(file, row_group, leaf, pool));
    if (column) out.columns_.push_back(std::move(*column));
  }
  return out;
}

/// The rows of one column, some of them left out.
class ColumnRows {
 public:
  /// `stretches`: rows that the reader has, ascending, apart.
  ColumnRows(std::string name, const ParquetSource* file, std::vector<RowRange> stretches)
      : name_(std::move(name)), file_(file), stretches_(std::move(stretches)) {
    row_ = stretches_.empty() ? 0 : stretches_.front().begin;
  }
  std::unique_ptr<parquet::arrow::ColumnReader>* reader() { return &reader_; }

  /// Passes over what lies before `row`, of which the reader has it.
  arrow::Status Seek(int64_t row, BatchCutter* cutter) {
    while (row_ < row) {
      if (at_ == stretches_.size()) return EndsEarly();
      const int64_t end = std::min(row, stretches_[at_].end);
      ARROW_RETURN_NOT_OK(Next(std::min(cutter->Next(row_), end - row_)).status());
    }
    return arrow::Status::OK();
  }

  /// All within stretches that follow each other.
  arrow::Result<std::shared_ptr<arrow::ChunkedArray>> Next(int64_t count) {
    std::shared_ptr<arrow::ChunkedArray> values;
    ARROW_RETURN_NOT_OK(reader_->NextBatch(count, &values));
    if (values->length() != count) return EndsEarly();
    row_ += count;
    while (at_ < stretches_.size() && row_ >= stretches_[at_].end) {
      const int64_t over = row_ - stretches_[at_++].end;
      if (at_ < stretches_.size()) row_ = stretches_[at_].begin + over;
    }
    return values;
  }

 private:
  arrow::Status EndsEarly() const {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "column '" + name_ + "' of '" + file_->path() + "' ends early");
  }

  const std::string name_;
  const ParquetSource* file_;
  std::vector<RowRange> stretches_;
  std::unique_ptr<parquet::arrow::ColumnReader> reader_;
  size_t at_ = 0;    ///< stretch of the next row
  int64_t row_ = 0;  ///< the next one
};

/// Of a flat column.
int LeafOf(const ParquetSource& file, const std::string& name) {
  int leaf = 0;
  while (file.schema().GetColumnRoot(leaf)->name() != name) ++leaf;
  return leaf;
}

}  // namespace

arrow::Result<int64_t> ReadNeed(const std::shared_ptr<ParquetSource>& file, int row_group,
                                const std::string& column, int64_t batch_rows, GuardedPool* pool) {
  int64_t need = 0;
  ARROW_ASSIGN_OR_RAISE(const auto metadata, file->RowGroupMetadata(row_group));
  const int64_t rows = std::min(batch_rows, file->row_group_rows(row_group));
  for (int leaf = 0; leaf < file->num_columns(); ++leaf) {
    if (file->schema().GetColumnRoot(leaf)->name() != column) continue;
    const parquet::ColumnDescriptor& descr = *file->schema().Column(leaf);
    ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file->ScanPages(row_group, leaf));
    int64_t batch = 0;
    if (descr.physical_type() == parquet::Type::BYTE_ARRAY) {
      const auto chunk = metadata->RowGroup(0)->ColumnChunk(leaf);
      batch = chunk->total_uncompressed_size();
      ARROW_ASSIGN_OR_RAISE(const auto look, BatchCutter::Look(file, row_group, leaf, pool));
      if (look) {
        const int64_t longest = std::max(look->entry, look->longest);
        batch = std::max(longest,
                         kMostBatchBytes + std::max(kSmallPages, pages.max_uncompressed_bytes));
        if (pages.all_dictionary_encoded) {
          batch = std::min(std::max(longest, kMostBatchBytes), rows * longest);
        }
      } else if (!IsFlat(descr)) {
        batch = rows * (batch / std::max<int64_t>(file->row_group_rows(row_group), 1) + 16);
      }
    } else {
      const auto chunk = metadata->RowGroup(0)->ColumnChunk(leaf);
      batch = rows *
              (chunk->num_values() / std::max<int64_t>(file->row_group_rows(row_group), 1) + 1) *
              FixedWidth(descr);
    }
    // Builders grow by doubling; levels and offsets beside the values.
    need += kStreamBuffer + pages.max_compressed_bytes + 2 * pages.max_uncompressed_bytes +
            2 * pages.dictionary_uncompressed_bytes + 2 * batch + 24 * rows;
  }
  return need;
}

arrow::Status ReadRowGroup(const std::shared_ptr<ParquetSource>& file, int row_group,
                           const std::vector<std::string>& columns, int64_t batch_rows,
                           GuardedPool* pool,
                           const std::function<arrow::Status(const arrow::RecordBatch&)>& visit) {
  return ReadRows(file, row_group, columns, batch_rows, pool,
                  {{0, file->row_group_rows(row_group)}}, nullptr,
                  [&](int64_t, const arrow::RecordBatch& batch) { return visit(batch); });
}

arrow::Status ReadRows(
    const std::shared_ptr<ParquetSource>& file, int row_group,
    const std::vector<std::string>& columns, int64_t batch_rows, GuardedPool* pool,
    const std::vector<RowRange>& rows, const SelectedPages* pages,
    const std::function<arrow::Status(int64_t row, const arrow::RecordBatch&)>& visit) {
  try {
    parquet::ReaderProperties reader_properties(pool);
    reader_properties.enable_buffered_stream();
    reader_properties.set_buffer_size(kStreamBuffer);
    parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
    arrow_properties.set_batch_size(batch_rows);
    arrow_properties.set_pre_buffer(false);
    parquet::arrow::FileReaderBuilder builder;
    ARROW_ASSIGN_OR_RAISE(const auto held, Reservation::Make(file->budget(), file->reader_bytes()));
    // Before the metadata of selected pages, which takes the place of the row group's.
    ARROW_ASSIGN_OR_RAISE(auto cutter,
                          BatchCutter::Make(file, row_group, columns, batch_rows, pool));
    ARROW_ASSIGN_OR_RAISE(auto metadata,
                          pages != nullptr ? pages->Metadata() : file->RowGroupMetadata(row_group));
    ARROW_RETURN_NOT_OK(
        builder.Open(pages != nullptr ? pages->OpenInput(pool) : file->OpenInput(pool),
                     reader_properties, std::move(metadata)));
    ARROW_ASSIGN_OR_RAISE(auto reader,
                          builder.memory_pool(pool)->properties(arrow_properties)->Build());
    std::shared_ptr<arrow::Schema> schema;
    ARROW_RETURN_NOT_OK(reader->GetSchema(&schema));
    std::vector<ColumnRows> readers;
    for (const std::string& name : columns) {
      const int field = schema->GetFieldIndex(name);
      if (field < 0) {
        return arrow::Status::KeyError("no column '", name, "' in '", file->path(), "'");
      }
      std::vector<RowRange> stretches{{0, file->row_group_rows(row_group)}};
      if (pages != nullptr) stretches = pages->pages(LeafOf(*file, name));
      readers.emplace_back(name, file.get(), std::move(stretches));
      ARROW_RETURN_NOT_OK(reader->GetColumn(field, readers.back().reader()));
    }
    for (const RowRange& range : rows) {
      for (int64_t row = range.begin; row < range.end;) {
        for (ColumnRows& column : readers) ARROW_RETURN_NOT_OK(column.Seek(row, &cutter));
        const int64_t count = std::min(cutter.Next(row), range.end - row);
        arrow::FieldVector fields;
        std::vector<std::shared_ptr<arrow::ChunkedArray>> chunks;
        for (size_t c = 0; c < columns.size(); ++c) {
          ARROW_ASSIGN_OR_RAISE(auto values, readers[c].Next(count));
          if (IsView(*values->type())) {
            arrow::ArrayVector plain;
            for (const auto& chunk : values->chunks()) {
              ARROW_ASSIGN_OR_RAISE(auto array, PlainValues(chunk, pool));
              plain.push_back(std::move(array));
            }
            values = std::make_shared<arrow::ChunkedArray>(std::move(plain),
                                                           WithoutView(values->type()));
          }
          fields.push_back(schema->GetFieldByName(columns[c])->WithType(values->type()));
          chunks.push_back(std::move(values));
        }
        const auto table = arrow::Table::Make(arrow::schema(std::move(fields)), std::move(chunks));
        arrow::TableBatchReader batches(*table);
        while (true) {
          ARROW_ASSIGN_OR_RAISE(const auto batch, batches.Next());
          if (!batch) break;
          ARROW_RETURN_NOT_OK(visit(row, *batch));
          row += batch->num_rows();
        }
      }
    }
    return arrow::Status::OK();
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "cannot decode Parquet file '" + file->path() + "': " + e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to read '", file->path(), "'");
  }
}

}  // namespace floodwall

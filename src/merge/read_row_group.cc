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

/// How many rows of a row group to read at once.
class BatchCutter {
 public:
  static arrow::Result<BatchCutter> Make(const std::shared_ptr<ParquetSource>& file, int row_group,
                                         const std::vector<std::string>& columns,
                                         int64_t batch_rows, GuardedPool* pool);
  /// From `row` on; rows ascend.
  int64_t Next(int64_t row) {
    int64_t rows = batch_rows_;
    for (Column& column : columns_) rows = std::min(rows, Fitting(&column, row));
    return rows;
  }

  /// One of byte arrays that may be long.
  struct Column {
    std::vector<PageEntry> pages;
    Reservation charge;
    int64_t entry = 0;    ///< of a dictionary, the longest
    int64_t longest = 0;  ///< where values share prefixes
    size_t page = 0;      ///< that has the row asked for last
    int64_t first = 0;    ///< row of that page
  };
  /// Nothing where the chunk is too small to matter.
  static arrow::Result<std::optional<Column>> Look(const std::shared_ptr<ParquetSource>& file,
                                                   int row_group, int leaf, GuardedPool* pool);

 private:
  static int64_t Fitting(Column* column, int64_t row) {
    const auto& pages = column->pages;
    while (column->page < pages.size() && row >= column->first + pages[column->page].num_values) {
      column->first += pages[column->page++].num_values;
    }
    int64_t bytes = 0;
    int64_t end = column->first;
    for (size_t p = column->page; p < pages.size(); ++p) {
      const int64_t begin = std::max(row, end);
      end += pages[p].num_values;
      const int64_t value = pages[p].dictionary_encoded() ? column->entry
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
      if (begin > row && bytes + pages[p].uncompressed_bytes > kMostBatchBytes) return begin - row;
      bytes += pages[p].uncompressed_bytes;
    }
    return INT64_MAX;
  }

  int64_t batch_rows_ = 0;
  std::vector<Column> columns_;
};

bool IsFlat(const parquet::ColumnDescriptor& column) {
  return column.max_repetition_level() == 0 && column.max_definition_level() <= 1;
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
  ARROW_ASSIGN_OR_RAISE(ChunkPages pages, ListPages(chunk));
  Column out;
  if (repeats) {
    ChunkPages part;
    part.plain_layout = pages.plain_layout;
    part.dictionary = pages.dictionary;
    // Short entries cannot make a batch too large.
    ARROW_ASSIGN_OR_RAISE(ByteArraySizes sizes, MeasureByteArrays(chunk, part, 32, pool));
    out.entry = sizes.longest;
    part.dictionary.reset();
    for (const PageEntry& page : pages.data) {
      if (page.encoding == parquet_field::kEncodingDeltaByteArray) part.data.push_back(page);
    }
    ARROW_ASSIGN_OR_RAISE(sizes, MeasureByteArrays(chunk, part, INT64_MAX, pool));
    out.longest = sizes.longest;
  }
  out.pages = std::move(pages.data);
  out.charge = std::move(pages.charge);
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
        batch = std::max(longest, kMostBatchBytes + pages.max_uncompressed_bytes);
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
  try {
    parquet::ReaderProperties reader_properties(pool);
    reader_properties.enable_buffered_stream();
    reader_properties.set_buffer_size(kStreamBuffer);
    parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
    arrow_properties.set_batch_size(batch_rows);
    arrow_properties.set_pre_buffer(false);
    parquet::arrow::FileReaderBuilder builder;
    ARROW_ASSIGN_OR_RAISE(const auto held, Reservation::Make(file->budget(), file->reader_bytes()));
    ARROW_ASSIGN_OR_RAISE(auto metadata, file->RowGroupMetadata(row_group));
    ARROW_RETURN_NOT_OK(
        builder.Open(file->OpenInput(pool), reader_properties, std::move(metadata)));
    ARROW_ASSIGN_OR_RAISE(auto reader,
                          builder.memory_pool(pool)->properties(arrow_properties)->Build());
    std::shared_ptr<arrow::Schema> schema;
    ARROW_RETURN_NOT_OK(reader->GetSchema(&schema));
    std::vector<std::unique_ptr<parquet::arrow::ColumnReader>> readers;
    for (const std::string& name : columns) {
      const int field = schema->GetFieldIndex(name);
      if (field < 0) {
        return arrow::Status::KeyError("no column '", name, "' in '", file->path(), "'");
      }
      readers.emplace_back();
      ARROW_RETURN_NOT_OK(reader->GetColumn(field, &readers.back()));
    }
    ARROW_ASSIGN_OR_RAISE(auto cutter,
                          BatchCutter::Make(file, row_group, columns, batch_rows, pool));
    const int64_t rows = file->row_group_rows(row_group);
    for (int64_t row = 0; row < rows;) {
      const int64_t count = std::min(cutter.Next(row), rows - row);
      arrow::FieldVector fields;
      std::vector<std::shared_ptr<arrow::ChunkedArray>> chunks;
      for (size_t c = 0; c < columns.size(); ++c) {
        std::shared_ptr<arrow::ChunkedArray> values;
        ARROW_RETURN_NOT_OK(readers[c]->NextBatch(count, &values));
        if (values->length() != count) {
          return MakeError(ErrorKind::kUnsupportedFile,
                           "column '" + columns[c] + "' of '" + file->path() + "' ends early");
        }
        if (IsView(*values->type())) {
          arrow::ArrayVector plain;
          for (const auto& chunk : values->chunks()) {
            ARROW_ASSIGN_OR_RAISE(auto array, PlainValues(chunk, pool));
            plain.push_back(std::move(array));
          }
          values =
              std::make_shared<arrow::ChunkedArray>(std::move(plain), WithoutView(values->type()));
        }
        fields.push_back(schema->GetFieldByName(columns[c])->WithType(values->type()));
        chunks.push_back(std::move(values));
      }
      const auto table = arrow::Table::Make(arrow::schema(std::move(fields)), std::move(chunks));
      arrow::TableBatchReader batches(*table);
      while (true) {
        ARROW_ASSIGN_OR_RAISE(const auto batch, batches.Next());
        if (!batch) break;
        ARROW_RETURN_NOT_OK(visit(*batch));
      }
      row += count;
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

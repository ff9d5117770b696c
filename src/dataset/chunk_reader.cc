#include "floodwall/chunk_reader.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <utility>

#include "arrow/array/util.h"
#include "arrow/compute/api.h"
#include "arrow/compute/initialize.h"
#include "arrow/io/file.h"
#include "arrow/record_batch.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "parquet/arrow/reader.h"
#include "parquet/exception.h"
#include "parquet/file_reader.h"
#include "parquet/properties.h"

namespace floodwall {
namespace {

constexpr int64_t kStreamBuffer = 64 * kKiB;
constexpr int64_t kTailBytes = 8;  // footer length and magic
/// Arrow's own footer objects; ParquetSource, which adds a tree of ours, charges twice as much.
constexpr int64_t kFooterExpansion = 36;

arrow::Status Unreadable(const std::string& path, const std::string& why) {
  return MakeError(ErrorKind::kUnsupportedFile, "cannot read Parquet file '" + path + "': " + why);
}

/// Runs `work`, turning what Parquet throws into a Status.
template <typename Work>
auto Caught(const std::string& path, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const parquet::ParquetStatusException& e) {
    return e.status().IsInvalid() ? Unreadable(path, e.status().message()) : e.status();
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to read '", path, "'");
  } catch (const std::exception& e) {
    return Unreadable(path, e.what());
  }
}

/// A file with its footer; the footer's memory is charged as long as this lives.
struct OpenFile {
  Reservation footer_charge;
  std::unique_ptr<parquet::ParquetFileReader> parquet;
  std::unique_ptr<parquet::arrow::FileReader> arrow;
};

parquet::ReaderProperties StreamedProperties(arrow::MemoryPool* pool) {
  parquet::ReaderProperties properties(pool);
  properties.enable_buffered_stream();
  properties.set_buffer_size(kStreamBuffer);
  return properties;
}

arrow::Result<OpenFile> OpenFooter(const std::string& path, GuardedPool* pool) {
  OpenFile out;
  ARROW_ASSIGN_OR_RAISE(auto input, arrow::io::ReadableFile::Open(path, pool));
  ARROW_ASSIGN_OR_RAISE(const int64_t size, input->GetSize());
  uint32_t footer = 0;
  if (size >= kTailBytes) {
    char tail[kTailBytes];
    ARROW_RETURN_NOT_OK(input->ReadAt(size - kTailBytes, kTailBytes, tail));
    std::memcpy(&footer, tail, sizeof(footer));
  }
  // A length that cannot be is left to Parquet, which says what is wrong with the file.
  const int64_t plausible = footer <= size ? static_cast<int64_t>(footer) : 0;
  ARROW_ASSIGN_OR_RAISE(out.footer_charge,
                        Reservation::Make(pool->budget(), kFooterExpansion * plausible));
  out.parquet = parquet::ParquetFileReader::Open(std::move(input), StreamedProperties(pool));
  return out;
}

class ParquetChunkReader final : public ChunkReader {
 public:
  ParquetChunkReader(std::vector<ChunkFile> files, ChunkReaderOptions options)
      : files_(std::move(files)), options_(std::move(options)), exec_(options_.pool) {
    exec_.set_use_threads(false);
  }

  arrow::Status Start() {
    if (options_.schema) return arrow::Status::OK();
    if (files_.empty()) {
      options_.schema = arrow::schema({});
      return arrow::Status::OK();
    }
    return Caught(files_[0].path, [&]() -> arrow::Status {
      ARROW_ASSIGN_OR_RAISE(OpenFile file, Open(files_[0].path, options_.piece_rows));
      std::shared_ptr<arrow::Schema> schema;
      ARROW_RETURN_NOT_OK(file.arrow->GetSchema(&schema));
      options_.schema = std::move(schema);
      return arrow::Status::OK();
    });
  }

  const std::shared_ptr<arrow::Schema>& schema() const override { return options_.schema; }
  void set_piece_rows(int64_t rows) override { options_.piece_rows = std::max<int64_t>(1, rows); }

  arrow::Result<int64_t> CountRows() override {
    int64_t rows = 0;
    for (const ChunkFile& file : files_) {
      ARROW_RETURN_NOT_OK(Caught(file.path, [&]() -> arrow::Status {
        ARROW_ASSIGN_OR_RAISE(OpenFile open, OpenFooter(file.path, options_.pool));
        const auto metadata = open.parquet->metadata();
        ARROW_ASSIGN_OR_RAISE(const std::vector<int> groups, GroupsOf(file, *metadata));
        for (const int group : groups) rows += metadata->RowGroup(group)->num_rows();
        return arrow::Status::OK();
      }));
    }
    return rows;
  }

  arrow::Result<std::shared_ptr<arrow::Table>> Next(int64_t rows) override {
    if (rows < 1) return arrow::Status::Invalid("rows must be at least 1, got ", rows);
    while (gathered_rows_ < rows) {
      if (!piece_) {
        ARROW_RETURN_NOT_OK(ReadPiece(rows));
        if (!piece_) break;
      }
      const int64_t wanted = rows - gathered_rows_;
      if (piece_->num_rows() <= wanted) {
        gathered_rows_ += piece_->num_rows();
        gathered_.push_back(std::exchange(piece_, nullptr));
      } else {
        gathered_.push_back(piece_->Slice(0, wanted));
        gathered_rows_ += wanted;
        piece_ = piece_->Slice(wanted);
      }
    }
    return TakeGathered();
  }

  arrow::Result<std::shared_ptr<arrow::Table>> TakeGathered() override {
    if (gathered_.empty()) return std::shared_ptr<arrow::Table>();
    gathered_rows_ = 0;
    return arrow::Table::FromRecordBatches(options_.schema,
                                           std::exchange(gathered_, arrow::RecordBatchVector()));
  }

 private:
  arrow::Result<OpenFile> Open(const std::string& path, int64_t batch_rows) {
    ARROW_ASSIGN_OR_RAISE(OpenFile file, OpenFooter(path, options_.pool));
    parquet::ArrowReaderProperties properties(options_.use_threads);
    properties.set_batch_size(batch_rows);
    properties.set_pre_buffer(false);
    ARROW_ASSIGN_OR_RAISE(file.arrow, parquet::arrow::FileReader::Make(
                                          options_.pool, std::move(file.parquet), properties));
    return file;
  }

  static arrow::Result<std::vector<int>> GroupsOf(const ChunkFile& file,
                                                  const parquet::FileMetaData& metadata) {
    if (!file.all_row_groups) {
      for (const int group : file.row_groups) {
        if (group < 0 || group >= metadata.num_row_groups()) {
          return arrow::Status::Invalid("row group ", group, " of '", file.path, "' must be below ",
                                        metadata.num_row_groups());
        }
      }
      return file.row_groups;
    }
    std::vector<int> all(static_cast<size_t>(metadata.num_row_groups()));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
    return all;
  }

  /// Sets piece_, or leaves it null at the end. After an error the same rows come again.
  arrow::Status ReadPiece(int64_t chunk_rows) {
    while (next_file_ < files_.size()) {
      const ChunkFile& file = files_[next_file_];
      arrow::Status status = Caught(file.path, [&] { return ReadPieceOf(file, chunk_rows); });
      if (!status.ok()) {
        // The decoders stand in the middle of a page: they go, with all they hold.
        run_.reset();
        open_.reset();
        return status;
      }
      if (piece_) return arrow::Status::OK();
      open_.reset();
      constants_.clear();
      ++next_file_;
      next_group_ = 0;
    }
    return arrow::Status::OK();
  }

  arrow::Status ReadPieceOf(const ChunkFile& file, int64_t chunk_rows) {
    while (true) {
      if (!run_) {
        ARROW_ASSIGN_OR_RAISE(const bool more, OpenRun(file, chunk_rows));
        if (!more) return arrow::Status::OK();
      }
      std::shared_ptr<arrow::RecordBatch> batch;
      ARROW_RETURN_NOT_OK(run_->ReadNext(&batch));
      if (!batch) {
        run_.reset();
        next_group_ += run_groups_;
        rows_given_ -= run_rows_;  // not 0 when a run opened anew spans fewer row groups
        continue;
      }
      // After a denial the run was opened anew: what was given before is passed over.
      const int64_t skipped = std::min(to_skip_, batch->num_rows());
      to_skip_ -= skipped;
      if (skipped == batch->num_rows()) continue;
      if (skipped > 0) batch = batch->Slice(skipped);
      ARROW_ASSIGN_OR_RAISE(piece_, Conform(file, *batch));
      rows_given_ += piece_->num_rows();
      return arrow::Status::OK();
    }
  }

  /// Opens the next row groups: one, or as many small ones as fill a piece.
  arrow::Result<bool> OpenRun(const ChunkFile& file, int64_t chunk_rows) {
    // Pieces that divide the chunk: fewer of them lie across two chunks and keep both alive.
    const int64_t pieces = (chunk_rows + options_.piece_rows - 1) / options_.piece_rows;
    const int64_t piece_rows = (chunk_rows + pieces - 1) / pieces;
    if (!open_) {
      ARROW_ASSIGN_OR_RAISE(OpenFile opened, Open(file.path, piece_rows));
      open_.emplace(std::move(opened));
    }
    open_->arrow->set_batch_size(piece_rows);
    const auto metadata = open_->arrow->parquet_reader()->metadata();
    ARROW_ASSIGN_OR_RAISE(const std::vector<int> groups, GroupsOf(file, *metadata));
    std::vector<int> run;
    int64_t rows = 0;
    for (size_t g = next_group_; g < groups.size() && rows < piece_rows; ++g) {
      run.push_back(groups[g]);
      rows += metadata->RowGroup(groups[g])->num_rows();
    }
    if (run.empty()) return false;
    ARROW_ASSIGN_OR_RAISE(
        run_, open_->arrow->GetRecordBatchReader(run, LeavesOf(file, *metadata->schema())));
    run_groups_ = run.size();
    run_rows_ = rows;
    to_skip_ = rows_given_;
    return true;
  }

  std::vector<int> LeavesOf(const ChunkFile& file, const parquet::SchemaDescriptor& schema) const {
    std::vector<int> leaves;
    for (int leaf = 0; leaf < schema.num_columns(); ++leaf) {
      const std::string& name = schema.GetColumnRoot(leaf)->name();
      const bool constant = file.constants && file.constants->schema()->GetFieldIndex(name) >= 0;
      if (!constant && !options_.schema->GetAllFieldIndices(name).empty()) leaves.push_back(leaf);
    }
    return leaves;
  }

  arrow::Result<std::shared_ptr<arrow::RecordBatch>> Conform(const ChunkFile& file,
                                                             const arrow::RecordBatch& batch) {
    const int64_t rows = batch.num_rows();
    arrow::ArrayVector arrays;
    for (const auto& field : options_.schema->fields()) {
      std::shared_ptr<arrow::Array> array;
      if (file.constants && file.constants->GetColumnByName(field->name())) {
        ARROW_ASSIGN_OR_RAISE(array, Constant(file, arrays.size(), *field, rows));
      } else {
        const auto found = batch.schema()->GetAllFieldIndices(field->name());
        if (found.size() > 1) {
          return MakeError(ErrorKind::kSchemaMismatch,
                           "column '" + field->name() + "' occurs twice in '" + file.path + "'");
        }
        if (found.empty()) {
          ARROW_ASSIGN_OR_RAISE(array, arrow::MakeArrayOfNull(field->type(), rows, options_.pool));
        } else {
          ARROW_ASSIGN_OR_RAISE(array, Fit(file, batch.column(found[0]), *field));
        }
      }
      arrays.push_back(std::move(array));
    }
    return arrow::RecordBatch::Make(options_.schema, rows, std::move(arrays));
  }

  arrow::Result<std::shared_ptr<arrow::Array>> Fit(const ChunkFile& file,
                                                   std::shared_ptr<arrow::Array> array,
                                                   const arrow::Field& field) {
    if (array->type()->Equals(*field.type())) return array;
    auto cast =
        arrow::compute::Cast(*array, field.type(), arrow::compute::CastOptions::Safe(), &exec_);
    if (cast.ok() || cast.status().IsOutOfMemory()) return cast;
    return MakeError(ErrorKind::kSchemaMismatch,
                     "column '" + field.name() + "' of '" + file.path + "' is " +
                         array->type()->ToString() + " and does not fit " +
                         field.type()->ToString() + ": " + cast.status().message());
  }

  arrow::Result<std::shared_ptr<arrow::Array>> Constant(const ChunkFile& file, size_t column,
                                                        const arrow::Field& field, int64_t rows) {
    constants_.resize(static_cast<size_t>(options_.schema->num_fields()));
    std::shared_ptr<arrow::Array>& kept = constants_[column];
    if (!kept || kept->length() < rows) {
      ARROW_ASSIGN_OR_RAISE(auto one,
                            Fit(file, file.constants->GetColumnByName(field.name()), field));
      ARROW_ASSIGN_OR_RAISE(auto scalar, one->GetScalar(0));
      ARROW_ASSIGN_OR_RAISE(kept, arrow::MakeArrayFromScalar(*scalar, rows, options_.pool));
    }
    return kept->Slice(0, rows);
  }

  const std::vector<ChunkFile> files_;
  ChunkReaderOptions options_;
  arrow::compute::ExecContext exec_;

  size_t next_file_ = 0;
  size_t next_group_ = 0;   // of that file's list
  size_t run_groups_ = 0;   // row groups that run_ reads
  int64_t run_rows_ = 0;    // their rows
  int64_t rows_given_ = 0;  // counted from the start of row group next_group_
  int64_t to_skip_ = 0;
  std::optional<OpenFile> open_;
  std::shared_ptr<arrow::RecordBatchReader> run_;  // reads through *open_
  arrow::ArrayVector constants_;                   // by field, long enough for a piece

  std::shared_ptr<arrow::RecordBatch> piece_;  // decoded, not yet gathered
  arrow::RecordBatchVector gathered_;
  int64_t gathered_rows_ = 0;
};

}  // namespace

arrow::Result<std::unique_ptr<ChunkReader>> ChunkReader::Make(std::vector<ChunkFile> files,
                                                              ChunkReaderOptions options) {
  if (options.pool == nullptr) return arrow::Status::Invalid("a chunk reader needs a pool");
  if (options.piece_rows < 1) {
    return arrow::Status::Invalid("piece_rows must be at least 1, got ", options.piece_rows);
  }
  for (const ChunkFile& file : files) {
    if (file.constants && file.constants->num_rows() != 1) {
      return arrow::Status::Invalid("constants of '", file.path, "' must have one row, got ",
                                    file.constants->num_rows());
    }
  }
  ARROW_RETURN_NOT_OK(arrow::compute::Initialize());
  auto reader = std::make_unique<ParquetChunkReader>(std::move(files), std::move(options));
  ARROW_RETURN_NOT_OK(reader->Start());
  return reader;
}

}  // namespace floodwall

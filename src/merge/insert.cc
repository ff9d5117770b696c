#include "merge/insert.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <memory>
#include <new>
#include <random>
#include <span>
#include <utility>

#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "floodwall/bytes.h"
#include "merge/copied_groups.h"
#include "merge/new_file.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

/// Rows that are encoded at once, of narrow columns. Parquet's writers look at their page after
/// every 1024 rows, so slices are multiples of that or, for wide values, less.
constexpr int64_t kMaxSliceRows = 32768;

std::string MakeName(uint64_t salt, int i) {
  char name[64];
  std::snprintf(name, sizeof(name), "part-%016llx-%d.parquet",
                static_cast<unsigned long long>(salt), i);
  return name;
}

class Inserter {
 public:
  Inserter(const Target& target, RowSource* source, const SourcePartitions& partitions,
           const RowBitmap& wanted, Storage* storage, Commit* commit, RunContext* context)
      : target_(target),
        source_(source),
        partitions_(partitions),
        wanted_(wanted),
        storage_(storage),
        commit_(commit),
        context_(context) {}

  arrow::Result<std::vector<InsertedFile>> Run(int64_t count) {
    ARROW_RETURN_NOT_OK(Plan(count));
    if (partitions_.known()) {
      ARROW_RETURN_NOT_OK(RunPartitions(count));
      return std::move(files_);
    }
    ARROW_ASSIGN_OR_RAISE(const auto copies,
                          FindCopies(*source_, wanted_, count, style_, group_rows_, context_));
    if (!copies.empty()) {
      ARROW_RETURN_NOT_OK(RunCopies(copies));
      return std::move(files_);
    }
    int64_t next = 0;
    int64_t loaded_until = 0;
    std::shared_ptr<const RowSet> rows;
    for (int64_t left = count; left > 0;) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      const int64_t n = std::min(left, group_rows_);
      const int64_t end = EndOf(next, n);
      if (window_rows_ > 0 && end > loaded_until) {
        rows.reset();
        auto window = LoadWindow(next, std::min(left, window_rows_), &loaded_until);
        if (window.status().IsOutOfMemory()) {
          window_rows_ = 0;  // rows are longer than the first ones
        } else {
          ARROW_ASSIGN_OR_RAISE(rows, std::move(window));
        }
      }
      ARROW_RETURN_NOT_OK(WriteRowGroup(n, next, end, rows.get()));
      context_->progress.Advance(0, n);
      next = end;
      left -= n;
    }
    ARROW_RETURN_NOT_OK(CloseFile());
    return std::move(files_);
  }

 private:
  arrow::Status Plan(int64_t count) {
    ARROW_ASSIGN_OR_RAISE(style_, FileStyle::Of(target_, *source_->schema(), context_));
    ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source_->LogicalBytesPerValue());
    double row_bytes = 0;
    int64_t column_need = 0;
    int64_t longest = NewFile::kSliceBytes;
    for (const auto& field : style_.schema->fields()) {
      const int column = source_->schema()->GetFieldIndex(field->name());
      columns_.push_back(column);
      const double bytes = column < 0 ? 0 : value_bytes[static_cast<size_t>(column)];
      row_bytes += bytes;
      const auto fit =
          static_cast<uint64_t>(static_cast<double>(NewFile::kSliceBytes) / std::max(bytes, 1.0));
      slice_rows_.push_back(
          std::clamp<int64_t>(static_cast<int64_t>(std::bit_floor(fit)), 1, kMaxSliceRows));
      if (column >= 0) {
        ARROW_ASSIGN_OR_RAISE(const int64_t need, source_->ReadNeed({field->name()}));
        column_need = std::max(column_need, need);
        ARROW_ASSIGN_OR_RAISE(const int64_t value, source_->LongestValue(column));
        longest = std::max(longest, value);
      }
    }
    group_rows_ = std::min(
        {FileStyle::kMaxGroupRows, context_->options.max_rows_per_file,
         std::max<int64_t>(
             1, static_cast<int64_t>(static_cast<double>(context_->options.row_group_bytes) /
                                     std::max(row_bytes, 1.0)))});
    // A slice is taken, cast, gathered and encoded.
    const int64_t need = NewFile::kEncoderBytes + 6 * longest;
    const int64_t room = context_->budget->available_bytes() - need;
    if (room < column_need) {
      const int64_t minimum = context_->budget->used_bytes() + need + column_need;
      return context_->TooSmall("writing new rows takes " + FormatBytes(minimum),
                                minimum + minimum / 16);
    }
    if (source_->resident()) {
      window_rows_ = count;
      return arrow::Status::OK();
    }
    // Rows are there twice while they are loaded, beside their ordinals.
    ARROW_ASSIGN_OR_RAISE(const int64_t loaded, source_->LoadedBytesPerRow());
    const int64_t fits = (room - column_need) / (2 * loaded + 16);
    if (partitions_.known()) {
      // Columns of a partition's scattered rows are not read one after another.
      const int64_t most = std::min(count, group_rows_);
      if (fits < most) {
        const int64_t minimum = context_->budget->used_bytes() + need + column_need +
                                (2 * loaded + 24) * most + 8 * count;
        return context_->TooSmall(
            "writing the new rows of a partition takes " + FormatBytes(minimum),
            minimum + minimum / 16);
      }
      window_rows_ = fits;
      return arrow::Status::OK();
    }
    // Each column of a single row group is read once anyway: no need to hold them all.
    if (count <= group_rows_) return arrow::Status::OK();
    window_rows_ = fits >= count ? count : fits / group_rows_ * group_rows_;
    return arrow::Status::OK();
  }

  /// Row groups of one source file after another, as many in a new file as it may have rows.
  arrow::Status RunCopies(const std::vector<SourceRowGroup>& groups) {
    for (auto first = groups.begin(); first != groups.end();) {
      auto last = first;
      for (int64_t rows = 0; last != groups.end() && last->file == first->file; ++last) {
        rows += last->num_rows;
        if (rows > context_->options.max_rows_per_file) break;
      }
      ARROW_ASSIGN_OR_RAISE(auto staged, storage_->CreateFile(commit_->StagePath(), 0644));
      ARROW_ASSIGN_OR_RAISE(const AssembledFile made,
                            CopyGroups({first, last}, style_, std::move(staged), context_));
      context_->bytes_read += made.copied_bytes;
      context_->bytes_copied += made.copied_bytes;
      context_->bytes_written += made.size_bytes;
      const std::string name = MakeName(salt_, static_cast<int>(files_.size()));
      files_.push_back({made.staged_path, name, made.num_rows, made.size_bytes});
      first = last;
    }
    return arrow::Status::OK();
  }

  /// The wanted rows partition by partition, in source order within each.
  arrow::Status RunPartitions(int64_t count) {
    auto buffer =
        arrow::AllocateBuffer(count * static_cast<int64_t>(sizeof(int64_t)), context_->index_pool);
    if (!buffer.ok()) {
      return context_->TooSmall("sorting the new rows by partition takes " + FormatBytes(8 * count),
                                context_->budget->used_bytes() + 8 * count + 32 * kMiB);
    }
    auto* order = reinterpret_cast<int64_t*>((*buffer)->mutable_data());
    int64_t* end = order;
    for (int64_t i = 0; i < source_->num_rows(); ++i) {
      if (wanted_.Get(i)) *end++ = i;
    }
    std::sort(order, end, [&](int64_t a, int64_t b) {
      return std::pair(partitions_.Of(a), a) < std::pair(partitions_.Of(b), b);
    });
    std::shared_ptr<const RowSet> rows;
    int64_t loaded_until = 0;
    for (int64_t next = 0; next < count;) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      const int32_t partition = partitions_.Of(order[next]);
      int64_t last = next + 1;
      while (last < count && last - next < group_rows_ &&
             partitions_.Of(order[last]) == partition) {
        ++last;
      }
      if (last > loaded_until) {
        rows.reset();
        loaded_until = std::min(count, next + window_rows_);
        std::vector<int64_t> ordinals;
        if (!source_->resident()) {
          ordinals.assign(order + next, order + loaded_until);
          std::sort(ordinals.begin(), ordinals.end());
        }
        ARROW_ASSIGN_OR_RAISE(rows, source_->Load(std::move(ordinals)));
      }
      ARROW_RETURN_NOT_OK(OpenFile(last - next, target_.partitions().directory(partition)));
      const std::span<const int64_t> run(order + next, static_cast<size_t>(last - next));
      ARROW_RETURN_NOT_OK(file_->WriteRowGroup(
          last - next, slice_rows_, [&](int column, const NewFile::Sink& sink) -> arrow::Status {
            if (columns_[static_cast<size_t>(column)] < 0) {
              return FeedNulls(column, last - next, sink);
            }
            return FeedRun(*rows, column, run, sink);
          }));
      context_->progress.Advance(0, last - next);
      next = last;
    }
    return CloseFile();
  }

  arrow::Status FeedRun(const RowSet& rows, int column, std::span<const int64_t> run,
                        const NewFile::Sink& sink) {
    const auto slice = static_cast<size_t>(slice_rows_[static_cast<size_t>(column)]);
    const int from = columns_[static_cast<size_t>(column)];
    for (size_t i = 0; i < run.size();) {
      ARROW_ASSIGN_OR_RAISE(
          auto positions,
          rows.Positions(run.subspan(i, std::min(slice, run.size() - i)), context_->encode_pool));
      ARROW_ASSIGN_OR_RAISE(const int64_t count,
                            rows.CountWithin(from, positions, NewFile::kSliceBytes));
      ARROW_ASSIGN_OR_RAISE(auto values,
                            rows.TakeAt(from, positions->Slice(0, count), context_->encode_pool));
      ARROW_RETURN_NOT_OK(sink(std::move(values)));
      i += static_cast<size_t>(count);
    }
    return arrow::Status::OK();
  }

  /// The file that takes `rows` more rows in this directory.
  arrow::Status OpenFile(int64_t rows, const std::string& directory) {
    if (file_ && (directory != directory_ ||
                  file_->num_rows() + rows > context_->options.max_rows_per_file)) {
      ARROW_RETURN_NOT_OK(CloseFile());
    }
    directory_ = directory;
    if (file_) return arrow::Status::OK();
    ARROW_ASSIGN_OR_RAISE(auto staged, storage_->CreateFile(commit_->StagePath(), 0644));
    staged_path_ = staged->path();
    return NewFile::Make(style_, std::move(staged), context_).Value(&file_);
  }

  /// Behind the n-th wanted row from `first` on.
  int64_t EndOf(int64_t first, int64_t n) const {
    int64_t end = first;
    for (; n > 0; ++end) n -= wanted_.Get(end) ? 1 : 0;
    return end;
  }

  arrow::Result<std::shared_ptr<const RowSet>> LoadWindow(int64_t first, int64_t count,
                                                          int64_t* until) {
    std::vector<int64_t> ordinals;
    if (source_->resident()) {
      *until = source_->num_rows();
      return source_->Load(std::move(ordinals));
    }
    ordinals.reserve(static_cast<size_t>(count));
    int64_t next = first;
    for (; count > 0; ++next) {
      if (!wanted_.Get(next)) continue;
      ordinals.push_back(next);
      --count;
    }
    *until = next;
    return source_->Load(std::move(ordinals));
  }

  arrow::Status WriteRowGroup(int64_t rows, int64_t first, int64_t last, const RowSet* loaded) {
    ARROW_RETURN_NOT_OK(OpenFile(rows, ""));
    return file_->WriteRowGroup(
        rows, slice_rows_, [&](int column, const NewFile::Sink& sink) -> arrow::Status {
          if (columns_[static_cast<size_t>(column)] < 0) return FeedNulls(column, rows, sink);
          return loaded != nullptr ? FeedLoaded(*loaded, column, first, last, sink)
                                   : FeedRead(column, first, last, sink);
        });
  }

  arrow::Status FeedNulls(int column, int64_t rows, const NewFile::Sink& sink) {
    while (rows > 0) {
      const int64_t n = std::min(rows, kMaxSliceRows);
      ARROW_ASSIGN_OR_RAISE(auto nulls, arrow::MakeArrayOfNull(style_.schema->field(column)->type(),
                                                               n, context_->encode_pool));
      ARROW_RETURN_NOT_OK(sink(std::move(nulls)));
      rows -= n;
    }
    return arrow::Status::OK();
  }

  arrow::Status FeedLoaded(const RowSet& rows, int column, int64_t first, int64_t last,
                           const NewFile::Sink& sink) {
    const auto slice = static_cast<size_t>(slice_rows_[static_cast<size_t>(column)]);
    std::vector<int64_t> ordinals;
    for (int64_t i = first; i < last; ++i) {
      if (wanted_.Get(i)) ordinals.push_back(i);
      if (ordinals.size() == slice || (i + 1 == last && !ordinals.empty())) {
        ARROW_RETURN_NOT_OK(FeedRun(rows, column, ordinals, sink));
        ordinals.clear();
      }
    }
    return arrow::Status::OK();
  }

  arrow::Status FeedRead(int column, int64_t first, int64_t last, const NewFile::Sink& sink) {
    arrow::compute::ExecContext exec(context_->encode_pool);
    exec.set_use_threads(false);
    const auto visit = [&](int64_t ordinal, const arrow::RecordBatch& batch) -> arrow::Status {
      const int64_t count = wanted_.CountRange(ordinal, ordinal + batch.num_rows());
      if (count == batch.num_rows()) return sink(batch.column(0));
      if (count == 0) return arrow::Status::OK();
      arrow::Int64Builder wanted(context_->encode_pool);
      ARROW_RETURN_NOT_OK(wanted.Reserve(count));
      for (int64_t i = 0; i < batch.num_rows(); ++i) {
        if (wanted_.Get(ordinal + i)) wanted.UnsafeAppend(i);
      }
      ARROW_ASSIGN_OR_RAISE(auto indices, wanted.Finish());
      ARROW_ASSIGN_OR_RAISE(
          auto taken, arrow::compute::Take(*batch.column(0), *indices,
                                           arrow::compute::TakeOptions::NoBoundsCheck(), &exec));
      return sink(std::move(taken));
    };
    return source_->ReadRows({style_.schema->field(column)->name()}, first, last, visit);
  }

  arrow::Status CloseFile() {
    if (!file_) return arrow::Status::OK();
    const std::string name = MakeName(salt_, static_cast<int>(files_.size()));
    InsertedFile out{staged_path_, directory_.empty() ? name : directory_ + "/" + name,
                     file_->num_rows(), 0};
    ARROW_ASSIGN_OR_RAISE(out.size_bytes, file_->Close());
    file_.reset();
    context_->bytes_written += out.size_bytes;
    context_->bytes_encoded += out.size_bytes;
    files_.push_back(std::move(out));
    return arrow::Status::OK();
  }

  static uint64_t MakeSalt() {
    std::random_device device;
    return (static_cast<uint64_t>(device()) << 32) | device();
  }

  const Target& target_;
  RowSource* source_;
  const SourcePartitions& partitions_;
  const RowBitmap& wanted_;
  Storage* storage_;
  Commit* commit_;
  RunContext* context_;
  FileStyle style_;
  std::vector<int> columns_;         ///< of the source, by field of the style; -1: nulls
  std::vector<int64_t> slice_rows_;  ///< by field of the style
  int64_t group_rows_ = 0;
  int64_t window_rows_ = 0;  ///< loaded at once, whole row groups; 0: read column by column
  const uint64_t salt_ = MakeSalt();
  std::string staged_path_;
  std::string directory_;
  std::unique_ptr<NewFile> file_;
  std::vector<InsertedFile> files_;
};

}  // namespace

arrow::Result<std::vector<InsertedFile>> InsertRows(const Target& target, RowSource* source,
                                                    const SourcePartitions& partitions,
                                                    const RowBitmap& wanted, int64_t count,
                                                    Storage* storage, Commit* commit,
                                                    RunContext* context) {
  if (count == 0) return std::vector<InsertedFile>{};
  context->progress.StartPhase("insert", 0, count);
  try {
    Inserter inserter(target, source, partitions, wanted, storage, commit, context);
    return inserter.Run(count);
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return arrow::Status::IOError("cannot write new rows: ", e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to write new rows");
  }
}

}  // namespace floodwall

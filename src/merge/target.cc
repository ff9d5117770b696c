#include "merge/target.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "arrow/buffer.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/row_source.h"

namespace floodwall {
namespace {

constexpr int64_t kKeyBatchRows = 32768;

/// Columns of a file that the source has must be replaceable, the source's others follow the
/// policy; found out for every file before anything is written.
arrow::Status CheckColumns(const arrow::Schema& source, const ParquetSource& file,
                           const arrow::Schema& schema, const MergeOptions& options) {
  for (const std::string& name : options.key_columns) {
    if (schema.GetAllFieldIndices(name).size() != 1) {
      return MakeError(
          ErrorKind::kSchemaMismatch,
          "key column '" + name + "' is missing from the target file '" + file.path() + "'");
    }
  }
  for (const auto& field : source.fields()) {
    const auto found = schema.GetAllFieldIndices(field->name());
    if (found.empty()) {
      if (options.new_columns == NewColumns::kIgnore) continue;
      return MakeError(ErrorKind::kSchemaMismatch,
                       "source column '" + field->name() + "' does not exist in the target file '" +
                           file.path() + "' (new_columns='ignore' drops it)");
    }
    const auto& type = schema.field(found.front())->type();
    if (found.size() > 1 ||
        (options.strategy != MergeStrategy::kInsert && arrow::is_nested(type->id()))) {
      return MakeError(ErrorKind::kUnsupportedFile,
                       "nested columns cannot be updated yet: column '" + field->name() +
                           "' of type " + type->ToString() + " in '" + file.path() + "'");
    }
  }
  return arrow::Status::OK();
}

}  // namespace

arrow::Result<RowBitmap> RowBitmap::Make(int64_t length, arrow::MemoryPool* pool) {
  RowBitmap bitmap;
  const int64_t bytes = (length + 63) / 64 * 8;
  ARROW_ASSIGN_OR_RAISE(bitmap.words_, arrow::AllocateBuffer(bytes, pool));
  std::memset(bitmap.words_->mutable_data(), 0, static_cast<size_t>(bytes));
  return bitmap;
}

void RowBitmap::Set(int64_t i) {
  auto* words = reinterpret_cast<uint64_t*>(words_->mutable_data());
  const uint64_t bit = uint64_t{1} << (i % 64);
  std::atomic_ref<uint64_t> word(words[i / 64]);
  if ((word.load(std::memory_order_relaxed) & bit) == 0) {
    word.fetch_or(bit, std::memory_order_relaxed);
  }
}

bool RowBitmap::Get(int64_t i) const {
  return ((reinterpret_cast<const uint64_t*>(words_->data())[i / 64] >> (i % 64)) & 1) != 0;
}

int64_t RowBitmap::Count() const {
  int64_t count = 0;
  const auto* words = reinterpret_cast<const uint64_t*>(words_->data());
  for (int64_t i = 0; i < words_->size() / 8; ++i) count += std::popcount(words[i]);
  return count;
}

arrow::Result<Target> Target::Open(DatasetListing listing, const arrow::Schema& source,
                                   RunContext* context) {
  Target target;
  const MergeOptions& options = context->options;
  target.key_types_.resize(options.key_columns.size());
  for (const DatasetFile& entry : listing.files) {
    ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
    // Hive directories carry columns that no file holds: not understood yet, so not guessed at.
    if (entry.relative_path.substr(0, entry.relative_path.rfind('/') + 1).find('=') !=
        std::string::npos) {
      return MakeError(
          ErrorKind::kUnsupportedFile,
          "hive-partitioned datasets are not supported yet: '" + entry.relative_path + "'");
    }
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(listing.AbsolutePath(entry.relative_path),
                                                         context->read_pool->budget()));
    ARROW_ASSIGN_OR_RAISE(auto schema, ArrowSchemaOf(*file));
    ARROW_RETURN_NOT_OK(CheckColumns(source, *file, *schema, options));
    for (size_t k = 0; k < options.key_columns.size(); ++k) {
      auto type = schema->GetFieldByName(options.key_columns[k])->type();
      auto& types = target.key_types_[k];
      if (std::none_of(types.begin(), types.end(),
                       [&](const auto& t) { return t->Equals(*type); })) {
        types.push_back(std::move(type));
      }
    }
    TargetFile next;
    next.file = entry;
    next.num_rows = file->metadata()->num_rows();
    for (int g = 0; g < file->metadata()->num_row_groups(); ++g) {
      next.row_groups.push_back({file->metadata()->RowGroup(g)->num_rows(), {}});
    }
    target.num_rows_ += next.num_rows;
    const size_t position = target.files_.size();
    target.files_.push_back(std::move(next));
    if (!target.newest_ ||
        entry.version.mtime_ns >= target.files_[*target.newest_].file.version.mtime_ns) {
      target.newest_ = position;
    }
  }
  ARROW_ASSIGN_OR_RAISE(auto charge, Reservation::Make(context->index_pool->budget(), 0));
  target.match_charge_ = std::make_shared<Reservation>(std::move(charge));
  target.listing_ = std::move(listing);
  return target;
}

int64_t Target::size_bytes() const {
  int64_t bytes = 0;
  for (const TargetFile& file : files_) bytes += file.file.version.size_bytes;
  return bytes;
}

arrow::Status Target::Match(const KeySchema& schema, const KeyIndex& index, bool keep, int threads,
                            RowBitmap* matched, RunContext* context) {
  arrow::Status status = ParallelFor(threads, static_cast<int64_t>(files_.size()), [&](int64_t i) {
    return MatchFile(schema, index, keep, &files_[static_cast<size_t>(i)], matched, context);
  });
  if (!status.ok()) return status;
  int64_t bytes = 0;
  for (const TargetFile& file : files_) {
    for (const TargetRowGroup& group : file.row_groups) {
      bytes += static_cast<int64_t>(group.matches.capacity() * sizeof(RowMatch));
    }
  }
  if (!match_charge_->Resize(bytes).ok()) {
    return context->TooSmall("the positions of the matched rows take " + FormatBytes(bytes),
                             context->budget->used_bytes() + bytes + 32 * kMiB);
  }
  return arrow::Status::OK();
}

arrow::Status Target::MatchFile(const KeySchema& schema, const KeyIndex& index, bool keep,
                                TargetFile* file, RowBitmap* matched, RunContext* context) const {
  ARROW_ASSIGN_OR_RAISE(auto source,
                        ParquetSource::Open(AbsolutePath(*file), context->read_pool->budget()));
  KeyEncoder encoder(&schema, context->read_pool);
  KeyBatch keys(context->read_pool);
  std::vector<int64_t> found;
  for (size_t g = 0; g < file->row_groups.size(); ++g) {
    TargetRowGroup& group = file->row_groups[g];
    int64_t row = 0;
    int64_t unflushed = 0;
    ARROW_RETURN_NOT_OK(ReadRowGroup(
        source, static_cast<int>(g), context->options.key_columns, kKeyBatchRows,
        context->read_pool, [&](const arrow::RecordBatch& batch) -> arrow::Status {
          ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
          ARROW_RETURN_NOT_OK(encoder.Encode(batch.columns(), &keys));
          found.resize(static_cast<size_t>(keys.length));
          index.Find(keys, found.data());
          const bool nulls_never = context->options.null_keys == NullKeys::kNever;
          for (int64_t i = 0; i < keys.length; ++i) {
            const int64_t ordinal = found[static_cast<size_t>(i)];
            if (ordinal == KeyIndex::kNone) continue;
            if (nulls_never && keys.has_null[static_cast<size_t>(i)] != 0) continue;
            matched->Set(ordinal);
            if (!keep) continue;
            group.matches.push_back({row + i, ordinal});
            ++unflushed;
          }
          // The vectors are outside the pools: seen against the budget batch by batch, charged
          // exactly when matching is done.
          if (unflushed * static_cast<int64_t>(sizeof(RowMatch)) * 2 >
              context->budget->available_bytes()) {
            return context->TooSmall("the positions of the matched rows do not fit",
                                     context->options.max_memory_bytes +
                                         num_rows_ * static_cast<int64_t>(sizeof(RowMatch)));
          }
          row += batch.num_rows();
          return arrow::Status::OK();
        }));
    group.matches.shrink_to_fit();
    file->touched |= !group.matches.empty();
    int64_t key_bytes = 0;
    for (int c = 0; c < source->metadata()->num_columns(); ++c) {
      const std::string& name = source->metadata()->schema()->GetColumnRoot(c)->name();
      if (std::find(context->options.key_columns.begin(), context->options.key_columns.end(),
                    name) != context->options.key_columns.end()) {
        key_bytes += source->chunk_range(static_cast<int>(g), c).length;
      }
    }
    context->bytes_read += key_bytes;
    context->progress.Advance(key_bytes, group.num_rows);
  }
  return arrow::Status::OK();
}

}  // namespace floodwall

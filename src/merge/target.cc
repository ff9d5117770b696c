#include "merge/target.h"

#include <algorithm>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/parquet_rows.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

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
  if (ReadsKeysOnly(options.strategy)) return arrow::Status::OK();
  for (const auto& field : source.fields()) {
    const auto found = schema.GetAllFieldIndices(field->name());
    if (found.empty()) {
      if (options.new_columns == NewColumns::kIgnore) continue;
      return MakeError(ErrorKind::kSchemaMismatch,
                       "source column '" + field->name() + "' does not exist in the target file '" +
                           file.path() + "' (new_columns='ignore' drops it)");
    }
    const auto& type = schema.field(found.front())->type();
    if (found.size() > 1 || (ReplacesRows(options.strategy) && arrow::is_nested(type->id()))) {
      return MakeError(ErrorKind::kUnsupportedFile,
                       "nested columns cannot be updated yet: column '" + field->name() +
                           "' of type " + type->ToString() + " in '" + file.path() + "'");
    }
  }
  return arrow::Status::OK();
}

}  // namespace

namespace {

/// Pages of a key column while it is read.
constexpr int64_t kScanBytes = 256 * kKiB;
/// What a rewrite takes beside footers when nothing about it is known yet.
constexpr int64_t kRewriteBytes = 8 * kMiB;

/// Opens a file; a budget too small for its footer is refused with a minimum.
arrow::Result<std::shared_ptr<ParquetSource>> OpenTargetFile(const std::string& path,
                                                             RunContext* context) {
  const int64_t held = context->budget->used_bytes();
  auto file = ParquetSource::Open(path, context->read_pool->budget());
  int64_t need = 0;
  if (file.ok()) {
    need = (*file)->footer_need();
  } else {
    const ErrorDetail* detail = ErrorDetail::From(file.status());
    if (detail == nullptr || detail->kind != ErrorKind::kMemoryLimitExceeded) return file.status();
    ARROW_ASSIGN_OR_RAISE(need, ParquetSource::MeasureFooter(path));
  }
  if (file.ok() && held + need + kScanBytes <= context->options.max_memory_bytes) return file;
  return context->TooSmall(
      "the footer of '" + path + "' takes " + FormatBytes(need) + " while a row group is read",
      held + need + need / 4 + kRewriteBytes);
}

}  // namespace

arrow::Result<Target> Target::Open(DatasetListing listing, const arrow::Schema& source,
                                   RunContext* context) {
  Target target;
  const MergeOptions& options = context->options;
  target.key_types_.resize(options.key_columns.size());
  target.order_types_.resize(options.order_by.size());
  for (const DatasetFile& entry : listing.files) {
    ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
    // Hive directories carry columns that no file holds: not understood yet, so not guessed at.
    if (entry.relative_path.substr(0, entry.relative_path.rfind('/') + 1).find('=') !=
        std::string::npos) {
      return MakeError(
          ErrorKind::kUnsupportedFile,
          "hive-partitioned datasets are not supported yet: '" + entry.relative_path + "'");
    }
    ARROW_ASSIGN_OR_RAISE(auto file,
                          OpenTargetFile(listing.AbsolutePath(entry.relative_path), context));
    target.scan_need_ = std::max(target.scan_need_, file->footer_need() + kScanBytes);
    ARROW_ASSIGN_OR_RAISE(auto schema, ArrowSchemaOf(*file));
    ARROW_RETURN_NOT_OK(CheckColumns(source, *file, *schema, options));
    const auto note_types = [&](const std::vector<std::string>& names, auto* all) {
      for (size_t i = 0; i < names.size(); ++i) {
        const auto field = schema->GetFieldByName(names[i]);
        if (!field) continue;
        auto& types = (*all)[i];
        if (std::none_of(types.begin(), types.end(),
                         [&](const auto& t) { return t->Equals(*field->type()); })) {
          types.push_back(field->type());
        }
      }
    };
    note_types(options.key_columns, &target.key_types_);
    note_types(options.order_by, &target.order_types_);
    TargetFile next;
    next.file = entry;
    next.num_rows = file->num_rows();
    for (int g = 0; g < file->num_row_groups(); ++g) {
      TargetRowGroup group;
      group.num_rows = file->row_group_rows(g);
      group.first_row = target.num_rows_;
      target.num_rows_ += group.num_rows;
      next.row_groups.push_back(std::move(group));
    }
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

arrow::Status Target::AllowRemovals(RunContext* context) {
  auto bits = RowBitmap::Make(num_rows_, context->index_pool);
  if (!bits.ok()) {
    return context->TooSmall(
        "one bit for each row of the target takes " + FormatBytes(num_rows_ / 8),
        context->budget->used_bytes() + num_rows_ / 8 + 32 * kMiB);
  }
  removed_ = std::move(*bits);
  removes_ = true;
  return arrow::Status::OK();
}

arrow::Result<int64_t> Target::SumUp(RunContext* context) {
  int64_t bytes = 0;
  int64_t removed = 0;
  for (TargetFile& file : files_) {
    file.touched = false;
    for (TargetRowGroup& group : file.row_groups) {
      bytes += static_cast<int64_t>(group.matches.capacity() * sizeof(RowMatch));
      if (removes_) {
        group.removed = removed_.CountRange(group.first_row, group.first_row + group.num_rows);
      }
      removed += group.removed;
      file.touched |= group.touched();
    }
  }
  if (!match_charge_->Resize(bytes).ok()) {
    return context->TooSmall("the positions of the matched rows take " + FormatBytes(bytes),
                             context->budget->used_bytes() + bytes + 32 * kMiB);
  }
  return removed;
}

}  // namespace floodwall

#include "merge/target.h"

#include <algorithm>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/parquet_rows.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

/// Each key column that is no partition column must be in the file, and each column once.
arrow::Status CheckFile(const arrow::Schema& source, const ParquetSource& file,
                        const arrow::Schema& schema, const Partitions& partitions,
                        const MergeOptions& options) {
  for (const std::string& name : options.key_columns) {
    if (partitions.IndexOf(name) < 0 && schema.GetAllFieldIndices(name).size() != 1) {
      return MakeError(
          ErrorKind::kSchemaMismatch,
          "key column '" + name + "' is missing from the target file '" + file.path() + "'");
    }
  }
  for (const auto& field : schema.fields()) {
    if (source.GetFieldIndex(field->name()) >= 0 &&
        schema.GetAllFieldIndices(field->name()).size() > 1) {
      return MakeError(ErrorKind::kUnsupportedFile, "the target has column '" + field->name() +
                                                        "' twice in '" + file.path() + "'");
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
  if (file.ok() && held + need + kScanBytes <= context->budget->limit_bytes()) return file;
  return context->TooSmall(
      "the footer of '" + path + "' takes " + FormatBytes(need) + " while a row group is read",
      held + need + need / 4 + kRewriteBytes);
}

}  // namespace

arrow::Status Target::CheckColumns(const arrow::Schema& source, const MergeOptions& options) const {
  if (files_.empty() || ReadsKeysOnly(options.strategy)) return arrow::Status::OK();
  const arrow::Schema all(columns_);
  for (const auto& field : source.fields()) {
    if (source.GetAllFieldIndices(field->name()).size() > 1) {
      return MakeError(ErrorKind::kSchemaMismatch,
                       "the source has column '" + field->name() + "' twice");
    }
    if (options.new_columns == NewColumns::kError && all.GetFieldIndex(field->name()) < 0 &&
        partitions_.IndexOf(field->name()) < 0) {
      return MakeError(ErrorKind::kSchemaMismatch,
                       "source column '" + field->name() + "' does not exist in the target '" +
                           listing_.root +
                           "' (new_columns='add' adds it, new_columns='ignore' drops it)");
    }
  }
  return arrow::Status::OK();
}

arrow::Result<Target> Target::Open(DatasetListing listing, const arrow::Schema& source,
                                   RunContext* context) {
  Target target;
  const MergeOptions& options = context->options;
  target.key_types_.resize(options.key_columns.size());
  target.order_types_.resize(options.order_by.size());
  ARROW_ASSIGN_OR_RAISE(target.partitions_, Partitions::Of(listing, source, context));
  std::shared_ptr<arrow::Schema> newest_schema;
  arrow::FieldVector others;
  for (const DatasetFile& entry : listing.files) {
    ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
    ARROW_ASSIGN_OR_RAISE(auto file,
                          OpenTargetFile(listing.AbsolutePath(entry.relative_path), context));
    target.scan_need_ = std::max(target.scan_need_, file->footer_need() + kScanBytes);
    ARROW_ASSIGN_OR_RAISE(auto schema, ArrowSchemaOf(*file));
    ARROW_RETURN_NOT_OK(CheckFile(source, *file, *schema, target.partitions_, options));
    const auto note_types = [&](const std::vector<std::string>& names, auto* all) {
      for (size_t i = 0; i < names.size(); ++i) {
        const int partition = target.partitions_.IndexOf(names[i]);
        const auto field = schema->GetFieldByName(names[i]);
        if (partition < 0 && !field) continue;
        const auto& type = partition < 0 ? field->type() : target.partitions_.type(partition);
        auto& types = (*all)[i];
        if (std::none_of(types.begin(), types.end(),
                         [&](const auto& t) { return t->Equals(*type); })) {
          types.push_back(type);
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
    next.partition = target.partitions_.OfFile(position);
    target.files_.push_back(std::move(next));
    for (const auto& field : schema->fields()) {
      if (std::none_of(others.begin(), others.end(),
                       [&](const auto& known) { return known->name() == field->name(); })) {
        others.push_back(field);
      }
    }
    if (!target.newest_ ||
        entry.version.mtime_ns >= target.files_[*target.newest_].file.version.mtime_ns) {
      target.newest_ = position;
      newest_schema = schema;
    }
  }
  if (newest_schema) target.columns_ = newest_schema->fields();
  for (const auto& field : others) {
    // What the newest file does not have may be null in new files.
    if (newest_schema->GetFieldIndex(field->name()) < 0) {
      target.columns_.push_back(field->WithNullable(true));
    }
  }
  ARROW_ASSIGN_OR_RAISE(auto charge, Reservation::Make(context->index_pool->budget(), 0));
  target.match_charge_ = std::make_shared<Reservation>(std::move(charge));
  target.listing_ = std::move(listing);
  ARROW_RETURN_NOT_OK(target.CheckColumns(source, options));
  return target;
}

void Target::GiveNewColumns(const arrow::Schema& source, const MergeOptions& options) {
  if (files_.empty() || options.new_columns != NewColumns::kAdd ||
      !ReplacesRows(options.strategy)) {
    return;
  }
  const arrow::Schema all(columns_);
  for (const auto& field : source.fields()) {
    if (all.GetFieldIndex(field->name()) < 0 && partitions_.IndexOf(field->name()) < 0) {
      files_.front().gains_columns = true;
    }
  }
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

arrow::Status Target::Reset() {
  for (TargetFile& file : files_) {
    file.touched = false;
    for (TargetRowGroup& group : file.row_groups) {
      std::vector<RowMatch>().swap(group.matches);
      group.replaced = group.removed = 0;
    }
  }
  removed_ = RowBitmap();
  removes_ = false;
  return match_charge_->Resize(0);
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
      if (!group.matches.empty()) group.replaced = static_cast<int64_t>(group.matches.size());
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

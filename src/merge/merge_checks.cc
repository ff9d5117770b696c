#include "merge/merge_checks.h"

#include <set>

#include "floodwall/error.h"
#include "merge/source_keys.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

arrow::Status Refuse(const std::string& message) {
  return MakeError(ErrorKind::kInvalidMerge, message);
}

}  // namespace

arrow::Status CheckOptions(const MergeOptions& options) {
  if (options.key_columns.empty()) return Refuse("key_columns must name at least one column");
  std::set<std::string> seen;
  for (const std::string& name : options.key_columns) {
    if (name.empty()) return Refuse("key_columns must not contain an empty name");
    if (!seen.insert(name).second)
      return Refuse("key_columns names a column twice: '" + name + "'");
  }
  if (options.max_memory_bytes <= 0) {
    return Refuse("max_memory must be positive, got " + std::to_string(options.max_memory_bytes));
  }
  if (options.max_rows_per_file <= 0) {
    return Refuse("max_rows_per_file must be positive, got " +
                  std::to_string(options.max_rows_per_file));
  }
  if (options.row_group_bytes <= 0) {
    return Refuse("row_group_bytes must be positive, got " +
                  std::to_string(options.row_group_bytes));
  }
  if (options.threads < 0) {
    return Refuse("threads must be 0 (automatic) or positive, got " +
                  std::to_string(options.threads));
  }
  if (options.idempotency_token.size() > MergeOptions::kMaxTokenBytes) {
    return Refuse("idempotency_token may have " + std::to_string(MergeOptions::kMaxTokenBytes) +
                  " bytes, got " + std::to_string(options.idempotency_token.size()));
  }
  if (options.partition_columns) {
    std::set<std::string> names;
    for (const std::string& name : *options.partition_columns) {
      if (!names.insert(name).second) {
        return Refuse("partition_columns names a column twice: '" + name + "'");
      }
    }
  }
  if (!options.order_by.empty() && options.source_duplicates == SourceDuplicates::kError) {
    return Refuse(
        "order_by decides among duplicate source rows, source_duplicates='error' allows none; "
        "choose one");
  }
  if (options.strategy == MergeStrategy::kInsert &&
      options.target_duplicates == TargetDuplicates::kCollapse) {
    return Refuse(
        "target_duplicates='collapse' removes rows, strategy 'insert' touches no existing row");
  }
  return arrow::Status::OK();
}

arrow::Result<bool> CheckInputs(const RowSource& source, const DatasetListing& listing,
                                const std::string& path, const MergeOptions& options) {
  ARROW_RETURN_NOT_OK(CheckKeysInSource(*source.schema(), options));
  if (!listing.exists && !InsertsRows(options.strategy)) {
    return Refuse(std::string("cannot ") +
                  (options.strategy == MergeStrategy::kUpdate ? "update" : "delete from") +
                  " a non-existent target: '" + path + "'");
  }
  if (source.num_rows() > 0) return true;
  const bool full = options.strategy == MergeStrategy::kFullMerge;
  if (full && !options.allow_delete_all) {
    return Refuse(
        "full_merge with a source without rows would delete every row of the target; pass "
        "allow_delete_all=True if that is meant");
  }
  return full && listing.exists;
}

arrow::Status CheckMovedRows(const arrow::Schema& source, const Target& target,
                             const MergeOptions& options) {
  if (options.missing_columns == MissingColumns::kNull) return arrow::Status::OK();
  for (const auto& field : target.columns()) {
    if (source.GetFieldIndex(field->name()) >= 0) continue;
    return MakeError(ErrorKind::kSchemaMismatch,
                     "rows move to another partition, but the source lacks column '" +
                         field->name() +
                         "', whose values would be lost; add it to the source, or pass "
                         "missing_columns='null'");
  }
  return arrow::Status::OK();
}

arrow::Status CheckNewRows(const Target& target) {
  if (!target.listing().single_file) return arrow::Status::OK();
  return Refuse("new rows need a dataset directory, the target is a single file: '" +
                target.AbsolutePath(target.files().front()) + "'");
}

}  // namespace floodwall

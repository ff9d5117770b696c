#include "merge/source_partitions.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "arrow/array/util.h"
#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

/// The partition columns among the keys: what a file of another value cannot hold.
class KeyedPart {
 public:
  KeyedPart(const Partitions& partitions, const MergeOptions& options) : partitions_(partitions) {
    for (size_t c = 0; c < partitions.columns().size(); ++c) {
      const auto& name = partitions.columns()[c];
      if (std::find(options.key_columns.begin(), options.key_columns.end(), name) !=
          options.key_columns.end()) {
        columns_.push_back(static_cast<int>(c));
        names_.push_back(name);
      }
    }
  }
  const std::vector<std::string>& names() const { return names_; }

  arrow::Status Note(const arrow::RecordBatch& batch, RunContext* context) {
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (const std::string& name : names_) arrays.push_back(batch.GetColumnByName(name));
    return Encode(arrays, context, [&](std::string_view key) { seen_.emplace(key); });
  }

  arrow::Result<bool> Saw(int32_t partition, RunContext* context) {
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (const int column : columns_) {
      ARROW_ASSIGN_OR_RAISE(
          auto array,
          arrow::MakeArrayFromScalar(*partitions_.value(partition, column), 1, context->read_pool));
      arrays.push_back(std::move(array));
    }
    bool saw = false;
    ARROW_RETURN_NOT_OK(Encode(
        arrays, context, [&](std::string_view key) { saw = seen_.contains(std::string(key)); }));
    return saw;
  }

 private:
  template <typename Visit>
  arrow::Status Encode(const std::vector<std::shared_ptr<arrow::Array>>& arrays,
                       RunContext* context, const Visit& visit) {
    std::vector<std::vector<std::shared_ptr<arrow::DataType>>> types;
    for (const int column : columns_) types.push_back({partitions_.type(column)});
    ARROW_ASSIGN_OR_RAISE(const KeySchema schema, KeySchema::Resolve(names_, types));
    KeyEncoder encoder(&schema, context->read_pool);
    KeyBatch keys(context->read_pool);
    ARROW_RETURN_NOT_OK(encoder.Encode(arrays, &keys));
    std::string_view last;
    for (int64_t i = 0; i < keys.length; ++i) {
      std::string_view key;
      if (schema.inlined) {
        key = {reinterpret_cast<const char*>(&keys.inlined[static_cast<size_t>(i)]),
               sizeof(InlineKey)};
      } else {
        key = keys.Bytes(i);
      }
      if (i == 0 || key != last) visit(key);  // runs of one value are common
      last = key;
    }
    return arrow::Status::OK();
  }

  const Partitions& partitions_;
  std::vector<int> columns_;
  std::vector<std::string> names_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

arrow::Result<SourcePartitions> SourcePartitions::Read(RowSource* source, Target* target,
                                                       RunContext* context) {
  SourcePartitions out;
  Partitions& partitions = target->partitions();
  const auto& columns = partitions.columns();
  if (columns.empty()) return out;
  std::vector<std::string> present;
  for (const std::string& name : columns) {
    if (source->schema()->GetFieldIndex(name) >= 0) present.push_back(name);
  }
  const bool all = present.size() == columns.size();
  if (!all && InsertsRows(context->options.strategy)) {
    for (const std::string& name : columns) {
      if (source->schema()->GetFieldIndex(name) >= 0) continue;
      return MakeError(ErrorKind::kSchemaMismatch,
                       "partition column '" + name +
                           "' is missing from the source: new rows would have no place");
    }
  }
  KeyedPart keyed(partitions, context->options);
  const bool assign = all && !ReadsKeysOnly(context->options.strategy);
  if (!assign && keyed.names().empty()) return out;
  if (assign) {
    ARROW_ASSIGN_OR_RAISE(
        out.ids_, arrow::AllocateBuffer(source->num_rows() * static_cast<int64_t>(sizeof(int32_t)),
                                        context->index_pool));
  }
  ARROW_RETURN_NOT_OK(
      source->ForEachBatch(assign ? columns : keyed.names(),
                           [&](int64_t first, const arrow::RecordBatch& batch) -> arrow::Status {
                             if (!keyed.names().empty())
                               ARROW_RETURN_NOT_OK(keyed.Note(batch, context));
                             if (!assign) return arrow::Status::OK();
                             auto* ids = reinterpret_cast<int32_t*>(out.ids_->mutable_data());
                             return partitions.Assign(batch.columns(), ids + first, context);
                           }));
  if (keyed.names().empty()) return out;
  for (const TargetFile& file : target->files()) {
    ARROW_ASSIGN_OR_RAISE(const bool saw, keyed.Saw(file.partition, context));
    out.reaches_.push_back(saw);
  }
  return out;
}

}  // namespace floodwall

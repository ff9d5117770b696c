#include "merge/source_keys.h"

#include <algorithm>
#include <optional>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/row_order.h"

namespace floodwall {

namespace {

arrow::Status CheckColumnsInSource(const arrow::Schema& schema, const std::string& what,
                                   const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted) {
    const auto found = schema.GetAllFieldIndices(name);
    if (found.size() == 1) continue;
    std::string names;
    for (const auto& field : schema.fields()) names += (names.empty() ? "" : ", ") + field->name();
    return MakeError(ErrorKind::kSchemaMismatch,
                     what +
                         (found.empty() ? " column is missing from the source: '"
                                        : " column is ambiguous in the source: '") +
                         name + "' (it has " + names + ")");
  }
  return arrow::Status::OK();
}

}  // namespace

arrow::Status CheckKeysInSource(const arrow::Schema& schema, const MergeOptions& options) {
  ARROW_RETURN_NOT_OK(CheckColumnsInSource(schema, "key", options.key_columns));
  return CheckColumnsInSource(schema, "order_by", options.order_by);
}

arrow::Result<KeySchema> ResolveKeys(const RowSource& source, const Target& target,
                                     const MergeOptions& options) {
  auto types = target.key_types();
  types.resize(options.key_columns.size());
  for (size_t k = 0; k < types.size(); ++k) {
    types[k].push_back(source.schema()->GetFieldByName(options.key_columns[k])->type());
  }
  return KeySchema::Resolve(options.key_columns, types);
}

arrow::Result<int64_t> IndexBytesPerKey(RowSource* source, const Target& target,
                                        RunContext* context) {
  const MergeOptions& options = context->options;
  ARROW_ASSIGN_OR_RAISE(const KeySchema schema, ResolveKeys(*source, target, options));
  ARROW_ASSIGN_OR_RAISE(const auto value_bytes, source->LogicalBytesPerValue());
  double bytes = static_cast<double>(KeyIndex::kBytesPerKey);
  const auto add = [&](const std::string& name) {
    bytes += value_bytes[static_cast<size_t>(source->schema()->GetFieldIndex(name))] + 8;
  };
  if (!schema.inlined) std::for_each(options.key_columns.begin(), options.key_columns.end(), add);
  if (!options.order_by.empty()) {
    bytes += 16;
    std::for_each(options.order_by.begin(), options.order_by.end(), add);
  }
  return static_cast<int64_t>(bytes) + 1;
}

arrow::Result<SourceKeys> IngestKeys(RowSource* source, const Target& target, RunContext* context) {
  const MergeOptions& options = context->options;
  SourceKeys keys;
  ARROW_ASSIGN_OR_RAISE(keys.schema, ResolveKeys(*source, target, options));
  context->progress.StartPhase("ingest", 0, source->num_rows());
  const int64_t rows = source->num_rows();
  const int64_t table_bytes = (rows + 2) * KeyIndex::kBytesPerKey;
  auto index = KeyIndex::Make(keys.schema, rows, context->index_pool);
  auto wins = RowBitmap::Make(rows, context->index_pool);
  if (!index.ok() || !wins.ok()) {
    return context->TooSmall("the key index of " + std::to_string(rows) + " source rows takes " +
                                 FormatBytes(table_bytes),
                             table_bytes + rows / 2 + 48 * kMiB);
  }
  keys.index = std::move(*index);
  keys.ranges = KeyRanges(options.key_columns, rows);
  keys.wins = std::move(*wins);

  std::optional<RowOrder> order;
  if (!options.order_by.empty()) {
    std::vector<std::vector<std::shared_ptr<arrow::DataType>>> order_types;
    for (const std::string& name : options.order_by) {
      order_types.push_back({source->schema()->GetFieldByName(name)->type()});
    }
    ARROW_ASSIGN_OR_RAISE(
        order, RowOrder::Make(options.order_by, order_types, options.source_duplicates, rows,
                              context->index_pool));
  }
  const auto key_count = static_cast<ptrdiff_t>(options.key_columns.size());
  std::vector<std::string> columns = options.key_columns;
  columns.insert(columns.end(), options.order_by.begin(), options.order_by.end());
  KeyEncoder encoder(&keys.schema, context->read_pool);
  KeyBatch batch_keys(context->read_pool);
  std::vector<std::string> examples;
  const bool last = options.source_duplicates == SourceDuplicates::kLast;
  arrow::Status status = source->ForEachBatch(
      columns, [&](int64_t first, const arrow::RecordBatch& batch) -> arrow::Status {
        const auto& arrays = batch.columns();
        ARROW_RETURN_NOT_OK(
            encoder.Encode({arrays.begin(), arrays.begin() + key_count}, &batch_keys));
        keys.ranges.Observe(arrays);
        if (order) {
          ARROW_RETURN_NOT_OK(order->Load({arrays.begin() + key_count, arrays.end()}));
        }
        for (int64_t i = 0; i < batch.num_rows(); ++i) {
          if (options.null_keys == NullKeys::kNever &&
              batch_keys.has_null[static_cast<size_t>(i)] != 0) {
            keys.wins.Set(first + i);  // equals nothing, so it competes with nothing
            continue;
          }
          ARROW_ASSIGN_OR_RAISE(const int64_t known,
                                keys.index->Insert(batch_keys, i, first + i, last && !order));
          if (known == KeyIndex::kNone) {
            if (order) ARROW_RETURN_NOT_OK(order->Put(first + i, i));
            continue;
          }
          ++keys.dropped;
          if (order && order->Beats(i, known)) {
            ARROW_RETURN_NOT_OK(order->Replace(known, first + i, i));
            ARROW_RETURN_NOT_OK(keys.index->Insert(batch_keys, i, first + i, true));
          }
          if (options.source_duplicates == SourceDuplicates::kError && examples.size() < 10) {
            examples.push_back(PrintKey(keys.schema, batch.columns(), i));
          }
        }
        context->progress.Advance(0, batch.num_rows());
        return arrow::Status::OK();
      });
  if (status.IsOutOfMemory() && context->budget->available_bytes() < kMiB) {
    // Keys beyond 16 bytes are stored whole; how long the rest is cannot be known yet.
    return context->TooSmall(
        "the key index of " + std::to_string(rows) + " source rows does not fit",
        2 * (context->budget->used_bytes() + source->size_bytes()) + table_bytes);
  }
  ARROW_RETURN_NOT_OK(status);
  if (options.source_duplicates == SourceDuplicates::kError && keys.dropped > 0) {
    auto detail = std::make_shared<ErrorDetail>(ErrorKind::kDuplicateKey);
    detail->examples = examples;
    return MakeError(std::move(detail),
                     "the source has duplicate keys: " + std::to_string(keys.dropped) +
                         " rows share a key with another, such as " + examples.front());
  }
  keys.index->ForEachOrdinal([&](int64_t ordinal) { keys.wins.Set(ordinal); });
  keys.distinct = rows - keys.dropped;
  return keys;
}

}  // namespace floodwall

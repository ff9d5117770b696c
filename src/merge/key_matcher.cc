#include "floodwall/key_matcher.h"

#include <algorithm>

#include "arrow/api.h"
#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/key_index.h"

namespace floodwall {
namespace {

constexpr int64_t kBatchRows = 32768;

arrow::Result<std::vector<int>> KeyFields(const arrow::Schema& schema,
                                          const std::vector<std::string>& names) {
  std::vector<int> indices;
  for (const std::string& name : names) {
    const auto found = schema.GetAllFieldIndices(name);
    if (found.size() != 1) {
      return MakeError(ErrorKind::kSchemaMismatch,
                       "key column is " + std::string(found.empty() ? "missing" : "ambiguous") +
                           ": '" + name + "'");
    }
    indices.push_back(found.front());
  }
  return indices;
}

}  // namespace

struct KeyMatcher::State {
  std::vector<std::string> names;
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> types;
  KeySchema schema;
  std::unique_ptr<KeyIndex> index;
  arrow::MemoryPool* pool;
};

KeyMatcher::KeyMatcher(std::unique_ptr<State> state) : state_(std::move(state)) {}
KeyMatcher::~KeyMatcher() = default;

arrow::Result<std::unique_ptr<KeyMatcher>> KeyMatcher::Make(
    const arrow::Table& rows, const arrow::Schema& other,
    const std::vector<std::string>& key_columns, arrow::MemoryPool* pool) {
  if (key_columns.empty()) {
    return MakeError(ErrorKind::kInvalidMerge, "key_columns must name at least one column");
  }
  ARROW_ASSIGN_OR_RAISE(const auto own, KeyFields(*rows.schema(), key_columns));
  ARROW_ASSIGN_OR_RAISE(const auto others, KeyFields(other, key_columns));
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> types;
  for (size_t k = 0; k < own.size(); ++k) {
    types.push_back({other.field(others[k])->type(), rows.schema()->field(own[k])->type()});
  }
  auto state = std::make_unique<State>();
  state->names = key_columns;
  state->pool = pool;
  state->types = types;
  ARROW_ASSIGN_OR_RAISE(state->schema, KeySchema::Resolve(key_columns, types));
  ARROW_ASSIGN_OR_RAISE(state->index, KeyIndex::Make(state->schema, rows.num_rows(), pool));

  ARROW_ASSIGN_OR_RAISE(const auto selected, rows.SelectColumns(own));
  arrow::TableBatchReader reader(*selected);
  reader.set_chunksize(kBatchRows);
  KeyEncoder encoder(&state->schema, pool);
  KeyBatch keys(pool);
  int64_t position = 0;
  while (true) {
    ARROW_ASSIGN_OR_RAISE(const auto batch, reader.Next());
    if (!batch) break;
    ARROW_RETURN_NOT_OK(encoder.Encode(batch->columns(), &keys));
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      ARROW_RETURN_NOT_OK(state->index->Insert(keys, i, position + i, true).status());
    }
    position += batch->num_rows();
  }
  arrow::Int64Builder winners(pool);
  ARROW_RETURN_NOT_OK(winners.Resize(state->index->size()));
  state->index->ForEachOrdinal([&](int64_t ordinal) { winners.UnsafeAppend(ordinal); });
  if (winners.length() > 0) std::sort(&winners[0], &winners[0] + winners.length());
  auto out = std::unique_ptr<KeyMatcher>(new KeyMatcher(std::move(state)));
  ARROW_RETURN_NOT_OK(winners.Finish(&out->winners_));
  return out;
}

arrow::Result<std::shared_ptr<arrow::Array>> KeyMatcher::Find(
    const arrow::RecordBatch& batch) const {
  ARROW_ASSIGN_OR_RAISE(const auto indices, KeyFields(*batch.schema(), state_->names));
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (size_t k = 0; k < indices.size(); ++k) {
    columns.push_back(batch.column(indices[k]));
    const auto& type = columns.back()->type();
    const auto& known = state_->types[k];
    if (std::none_of(known.begin(), known.end(), [&](const auto& t) { return t->Equals(type); })) {
      return MakeError(ErrorKind::kSchemaMismatch,
                       "key column '" + state_->names[k] +
                           "' has a type that was not announced: " + type->ToString());
    }
  }
  KeyEncoder encoder(&state_->schema, state_->pool);
  KeyBatch keys(state_->pool);
  ARROW_RETURN_NOT_OK(encoder.Encode(columns, &keys));
  ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> found,
                        arrow::AllocateBuffer(batch.num_rows() * 8, state_->pool));
  auto* positions = reinterpret_cast<int64_t*>(found->mutable_data());
  state_->index->Find(keys, positions);
  ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> valid,
                        arrow::AllocateBitmap(batch.num_rows(), state_->pool));
  for (int64_t i = 0; i < batch.num_rows(); ++i) {
    arrow::bit_util::SetBitTo(valid->mutable_data(), i, positions[i] != KeyIndex::kNone);
  }
  return arrow::MakeArray(
      arrow::ArrayData::Make(arrow::int64(), batch.num_rows(), {std::move(valid), found}));
}

}  // namespace floodwall

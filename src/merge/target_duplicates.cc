#include "merge/target_duplicates.h"

#include <algorithm>
#include <optional>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/key_index.h"
#include "merge/row_order.h"
#include "merge/target_matching.h"

namespace floodwall {
namespace {

constexpr int64_t kMaxParts = 1 << 14;
/// Beside the index: pages of the key columns and a batch of them.
constexpr int64_t kReadRoom = 8 * kMiB;

using Types = std::vector<std::vector<std::shared_ptr<arrow::DataType>>>;

/// The keys whose hash falls into one of `parts` parts, with the row that is ahead of each.
class Part {
 public:
  Part(const KeySchema& schema, const Types& order_types, int64_t part, int64_t parts,
       Target* target, RunContext* context)
      : schema_(schema),
        order_types_(order_types),
        part_(part),
        parts_(parts),
        target_(target),
        context_(context) {}

  arrow::Status Run() {
    const MergeOptions& options = context_->options;
    // Hashes spread keys evenly but not exactly.
    const int64_t capacity = target_->num_rows() / parts_ + target_->num_rows() / parts_ / 8 + 4096;
    ARROW_ASSIGN_OR_RAISE(index_, KeyIndex::Make(schema_, capacity, context_->index_pool));
    ARROW_ASSIGN_OR_RAISE(ahead_, arrow::AllocateBuffer(capacity * 8, context_->index_pool));
    if (!options.order_by.empty()) {
      ARROW_ASSIGN_OR_RAISE(
          order_, RowOrder::Make(options.order_by, order_types_, options.source_duplicates,
                                 capacity, context_->index_pool));
    }
    KeyEncoder encoder(&schema_, context_->read_pool);
    KeyBatch keys(context_->read_pool);
    const auto key_count = static_cast<ptrdiff_t>(options.key_columns.size());
    for (const TargetFile& file : target_->files()) {
      ARROW_ASSIGN_OR_RAISE(auto source, ParquetSource::Open(target_->AbsolutePath(file),
                                                             context_->read_pool->budget()));
      for (size_t g = 0; g < file.row_groups.size(); ++g) {
        int64_t row = file.row_groups[g].first_row;
        ARROW_RETURN_NOT_OK(ReadKeys(
            *target_, file, source, static_cast<int>(g), options.order_by, context_,
            [&](const arrow::RecordBatch& batch) -> arrow::Status {
              const auto& columns = batch.columns();
              ARROW_RETURN_NOT_OK(
                  encoder.Encode({columns.begin(), columns.begin() + key_count}, &keys));
              if (order_) {
                ARROW_RETURN_NOT_OK(order_->Load({columns.begin() + key_count, columns.end()}));
              }
              ARROW_RETURN_NOT_OK(Add(keys, row));
              row += batch.num_rows();
              return arrow::Status::OK();
            }));
      }
    }
    return arrow::Status::OK();
  }

 private:
  arrow::Status Add(const KeyBatch& keys, int64_t first_row) {
    auto* ahead = reinterpret_cast<int64_t*>(ahead_->mutable_data());
    const MergeOptions& options = context_->options;
    for (int64_t i = 0; i < keys.length; ++i) {
      if (options.null_keys == NullKeys::kNever && keys.has_null[static_cast<size_t>(i)] != 0) {
        continue;
      }
      if (KeyIndex::PartOf(keys, i, parts_) != part_) continue;
      const int64_t next = index_->size();
      ARROW_ASSIGN_OR_RAISE(const int64_t known, index_->Insert(keys, i, next, false));
      const int64_t row = first_row + i;
      if (known == KeyIndex::kNone) {
        ahead[next] = row;
        if (order_) ARROW_RETURN_NOT_OK(order_->Put(next, i));
        continue;
      }
      const bool beats =
          order_ ? order_->Beats(i, known) : options.source_duplicates == SourceDuplicates::kLast;
      // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a known key has a place in ahead
      target_->removed().Set(beats ? ahead[known] : row);
      if (!beats) continue;
      ahead[known] = row;
      if (order_) ARROW_RETURN_NOT_OK(order_->Replace(known, known, i));
    }
    return arrow::Status::OK();
  }

  const KeySchema& schema_;
  const Types& order_types_;
  const int64_t part_;
  const int64_t parts_;
  Target* target_;
  RunContext* context_;
  std::unique_ptr<KeyIndex> index_;
  std::shared_ptr<arrow::Buffer> ahead_;
  std::optional<RowOrder> order_;
};

}  // namespace

arrow::Result<int64_t> FindDuplicates(Target* target, RunContext* context) {
  const MergeOptions& options = context->options;
  ARROW_ASSIGN_OR_RAISE(const KeySchema schema,
                        KeySchema::Resolve(options.key_columns, target->key_types()));
  ARROW_RETURN_NOT_OK(target->AllowRemovals(context));
  const int64_t key_bytes = KeyIndex::kBytesPerKey + 8 + (options.order_by.empty() ? 0 : 24);
  const int64_t room =
      std::max<int64_t>(1, (context->budget->available_bytes() - kReadRoom) * 3 / 4);
  int64_t parts = 1 + target->num_rows() * 9 / 8 * key_bytes / room;
  context->progress.StartPhase("match", 0, target->num_rows() * parts);
  for (int64_t part = 0; part < parts;) {
    const arrow::Status status =
        Part(schema, target->order_types(), part, parts, target, context).Run();
    if (status.ok()) {
      ++part;
      continue;
    }
    if (!status.IsOutOfMemory() && !status.IsCapacityError()) return status;
    // Long keys, or an unlucky part: smaller parts from the beginning. What is marked already
    // stays right, because the row that is ahead of a key does not depend on the parts.
    parts *= 2;
    part = 0;
    if (parts > kMaxParts) {
      return context->TooSmall("finding duplicates needs room for some keys",
                               context->options.max_memory_bytes * 2);
    }
  }
  return target->SumUp(context);
}

}  // namespace floodwall

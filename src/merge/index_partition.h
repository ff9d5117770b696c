#pragma once

/// The index of some partitions of the source's keys: which source row counts for each.
///
/// Threading: Load from one thread, Find from many. Errors: IsFull tells those that mean that the
/// partitions must be smaller. Memory: at most limit_bytes (and a batch of keys) from the index
/// pool. Lifetime: borrows everything.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "arrow/result.h"
#include "floodwall/guarded_pool.h"
#include "merge/key_index.h"
#include "merge/key_partitions.h"
#include "merge/row_order.h"

namespace floodwall {

class IndexPartition {
 public:
  using Part = std::pair<const KeyPartitions*, int>;
  using Types = std::vector<std::vector<std::shared_ptr<arrow::DataType>>>;

  IndexPartition(const KeySchema& schema, const Types& order_types, int64_t limit_bytes,
                 RunContext* context)
      : schema_(schema),
        order_types_(order_types),
        limit_bytes_(limit_bytes),
        context_(context),
        pool_(context->index_pool) {}

  /// Duplicates are settled by the options. Once.
  arrow::Status Load(const std::vector<Part>& parts);
  static bool IsFull(const arrow::Status& status) {
    return status.IsOutOfMemory() || status.IsCapacityError();
  }
  /// Gives the memory back, after a Load that failed.
  void Clear();

  /// out[i]: the source row that counts for key i, or KeyIndex::kNone.
  void Find(const KeyBatch& keys, int64_t* out) const;
  template <typename Visit>
  void ForEachOrdinal(const Visit& visit) const {
    index_->ForEachOrdinal([&](int64_t id) { visit(OrdinalOf(id)); });
  }
  int64_t dropped() const { return dropped_; }
  /// The first source rows that have the key of an earlier one, ascending.
  const std::vector<int64_t>& first_dropped() const { return first_dropped_; }

 private:
  arrow::Status Add(const KeyedBatch& batch);
  /// Ordered rows are known by dense ids, others by their ordinal.
  int64_t OrdinalOf(int64_t id) const {
    return order_ ? reinterpret_cast<const int64_t*>(ordinals_->data())[id] : id;
  }
  void NoteDropped(int64_t ordinal);

  const KeySchema& schema_;
  const Types& order_types_;
  const int64_t limit_bytes_;
  RunContext* context_;
  GuardedPool* pool_;
  int64_t held_before_ = 0;
  std::unique_ptr<KeyIndex> index_;
  std::optional<RowOrder> order_;
  std::shared_ptr<arrow::Buffer> ordinals_;
  int64_t dropped_ = 0;
  std::vector<int64_t> first_dropped_;
};

}  // namespace floodwall

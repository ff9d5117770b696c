#include "merge/index_partition.h"

#include <algorithm>

namespace floodwall {
namespace {

constexpr size_t kExamples = 10;

}  // namespace

arrow::Status IndexPartition::Load(const std::vector<Part>& parts) {
  const MergeOptions& options = context_->options;
  int64_t records = 0;
  int64_t bytes = 0;
  for (const auto& [partitions, p] : parts) {
    records += partitions->records(p);
    bytes += partitions->bytes(p);
  }
  const bool ordered = !options.order_by.empty();
  int64_t need =
      records * (KeyIndex::kBytesPerKey + (ordered ? 16 : 0)) + 2 * KeyIndex::kBytesPerKey;
  if (!schema_.inlined || ordered) need += bytes;
  // Where not all fit there may be room for the different ones.
  held_before_ = pool_->bytes_allocated();
  int64_t capacity = records;
  if (need > limit_bytes_) {  // with a margin for the keys' arena and what allocations round up
    capacity = static_cast<int64_t>(static_cast<double>(records) * 0.875 *
                                    static_cast<double>(limit_bytes_) / static_cast<double>(need));
  }
  if (capacity == 0) return arrow::Status::CapacityError("no room for a key");
  ARROW_ASSIGN_OR_RAISE(index_, KeyIndex::Make(schema_, capacity, pool_));
  if (ordered) {
    ARROW_ASSIGN_OR_RAISE(order_, RowOrder::Make(options.order_by, order_types_,
                                                 options.source_duplicates, capacity, pool_));
    ARROW_ASSIGN_OR_RAISE(ordinals_, arrow::AllocateBuffer(capacity * 8, pool_));
  }
  for (const auto& [partitions, p] : parts) {
    ARROW_RETURN_NOT_OK(
        partitions->ForEachBatch(p, [&](const KeyedBatch& batch) { return Add(batch); }));
  }
  return arrow::Status::OK();
}

arrow::Status IndexPartition::Add(const KeyedBatch& batch) {
  const bool last = context_->options.source_duplicates == SourceDuplicates::kLast;
  if (pool_->bytes_allocated() - held_before_ > limit_bytes_) {
    return arrow::Status::CapacityError("the index is full");
  }
  if (order_) order_->LoadStored(batch.notes);
  for (int64_t i = 0; i < batch.keys.length; ++i) {
    const int64_t ordinal = batch.numbers[static_cast<size_t>(i)];
    if (!order_) {
      ARROW_ASSIGN_OR_RAISE(const int64_t known, index_->Insert(batch.keys, i, ordinal, last));
      if (known != KeyIndex::kNone) NoteDropped(ordinal);
      continue;
    }
    auto* ordinals = reinterpret_cast<int64_t*>(ordinals_->mutable_data());
    const int64_t next = index_->size();
    ARROW_ASSIGN_OR_RAISE(const int64_t known, index_->Insert(batch.keys, i, next, false));
    if (known == KeyIndex::kNone) {
      ARROW_RETURN_NOT_OK(order_->Put(next, i));
      ordinals[next] = ordinal;
      continue;
    }
    NoteDropped(ordinal);
    if (!order_->Beats(i, known)) continue;
    ARROW_RETURN_NOT_OK(order_->Replace(known, known, i));
    ordinals[known] = ordinal;
  }
  return arrow::Status::OK();
}

void IndexPartition::NoteDropped(int64_t ordinal) {
  ++dropped_;
  if (first_dropped_.size() == kExamples && ordinal >= first_dropped_.back()) return;
  first_dropped_.insert(std::lower_bound(first_dropped_.begin(), first_dropped_.end(), ordinal),
                        ordinal);
  if (first_dropped_.size() > kExamples) first_dropped_.pop_back();
}

void IndexPartition::Clear() {
  index_.reset();
  order_.reset();
  ordinals_.reset();
}

void IndexPartition::Find(const KeyBatch& keys, int64_t* out) const {
  index_->Find(keys, out);
  if (!order_) return;
  for (int64_t i = 0; i < keys.length; ++i) {
    if (out[i] != KeyIndex::kNone) out[i] = OrdinalOf(out[i]);
  }
}

}  // namespace floodwall

#include "merge/spilled_match.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "floodwall/bytes.h"
#include "merge/group_finder.h"
#include "merge/index_partition.h"
#include "merge/key_examples.h"
#include "merge/key_partitions.h"
#include "merge/row_order.h"
#include "merge/source_keys.h"
#include "merge/strategy.h"
#include "merge/target_matching.h"

namespace floodwall {
namespace {

constexpr int kMaxPartitions = 1024;
constexpr int kSplit = 8;
constexpr int kMaxDepth = 16;
constexpr size_t kExamples = 10;
/// Reading a row decodes it: counted as so many bytes when plans are compared.
constexpr int64_t kDecodeBytes = 16;

using Part = IndexPartition::Part;

class SpilledMatcher {
 public:
  SpilledMatcher(RowSource* source, const SourcePartitions& partitions, Target* target,
                 RunContext* context)
      : source_(source),
        partition_ids_(partitions),
        target_(target),
        context_(context),
        strategy_(context->options.strategy),
        duplicates_(DuplicatesPolicy(context->options)),
        moves_(partitions.known() && ReplacesRows(strategy_)) {}

  arrow::Result<KeyMatch> Run() {
    ARROW_RETURN_NOT_OK(Plan());
    context_->progress.StartPhase("ingest", 0, source_->num_rows());
    ARROW_RETURN_NOT_OK(PartitionSource());
    out_.method = several_passes_ ? KeyMatching::kInPasses : KeyMatching::kPartitioned;
    ARROW_RETURN_NOT_OK(several_passes_ ? MatchInPasses() : MatchByPartition());
    ARROW_RETURN_NOT_OK(CheckDuplicates());
    ARROW_RETURN_NOT_OK(CheckMoves());
    out_.distinct = source_->num_rows() - out_.dropped;
    ARROW_ASSIGN_OR_RAISE(out_.removed, target_->SumUp(context_));
    return std::move(out_);
  }

 private:
  arrow::Status Plan() {
    ARROW_ASSIGN_OR_RAISE(schema_, ResolveKeys(*source_, *target_, context_->options));
    ranges_ = KeyRanges(context_->options.key_columns, source_->num_rows());
    const int64_t rows = source_->num_rows();
    auto wins = RowBitmap::Make(rows, context_->index_pool);
    auto matched = RowBitmap::Make(rows, context_->index_pool);
    if (moves_ && wins.ok() && matched.ok()) {
      ARROW_ASSIGN_OR_RAISE(out_.moved, RowBitmap::Make(rows, context_->index_pool));
      ARROW_ASSIGN_OR_RAISE(stays_, RowBitmap::Make(rows, context_->index_pool));
    }
    const int64_t left = context_->budget->available_bytes();
    if (!wins.ok() || !matched.ok() || left < 4 * kSpilledReadRoom) {
      const int64_t minimum = context_->budget->used_bytes() + 4 * kSpilledReadRoom + rows / 4;
      return context_->TooSmall("matching " + std::to_string(rows) +
                                    " source rows takes two bits a row and a few buffers",
                                minimum);
    }
    out_.wins = std::move(*wins);
    out_.matched = std::move(*matched);
    if (moves_ || RemovesRows(context_->options))
      ARROW_RETURN_NOT_OK(target_->AllowRemovals(context_));
    if (strategy_ == MergeStrategy::kFullMerge) {
      for (int64_t row = 0; row < target_->num_rows(); ++row) target_->removed().Set(row);
    }
    const int64_t room = context_->budget->available_bytes() - kSpilledReadRoom;
    index_bytes_ = room / 2;
    block_room_ = room / 4;
    if (ReplacesRows(strategy_)) {
      out_.spilled =
          std::make_unique<RecordSorter>(context_->spill.get(), room / 8, context_->spill_pool);
    }
    ARROW_ASSIGN_OR_RAISE(const int64_t key_bytes, IndexBytesPerKey(source_, *target_, context_));
    max_keys_ = index_bytes_ / key_bytes;
    const int64_t parts = rows * key_bytes / index_bytes_ + 1;
    const int64_t record_bytes = schema_.inlined ? 24 : key_bytes;
    several_passes_ =
        (parts - 1) * (record_bytes / 2 + kDecodeBytes) <= 2 * record_bytes + kDecodeBytes;
    // Twice as many as would do: hashes spread keys evenly but not exactly.
    partitions_ = static_cast<int>(std::clamp<int64_t>(
        static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * parts))), 2, kMaxPartitions));
    for (TargetFile& file : target_->files()) {
      for (TargetRowGroup& group : file.row_groups) {
        if (group.num_rows > 0) groups_.Add(&group, file.partition);
      }
    }
    return arrow::Status::OK();
  }

  int64_t BlockBytes(int count) const {
    return std::clamp<int64_t>(block_room_ / count, 4 * kKiB, 256 * kKiB);
  }

  arrow::Status PartitionSource() {
    const MergeOptions& options = context_->options;
    std::optional<RowOrder> order;
    if (!options.order_by.empty()) {
      for (const std::string& name : options.order_by) {
        order_types_.push_back({source_->schema()->GetFieldByName(name)->type()});
      }
      ARROW_ASSIGN_OR_RAISE(
          order, RowOrder::Make(options.order_by, order_types_, options.source_duplicates, 0,
                                context_->index_pool));
    }
    std::vector<std::string> columns = options.key_columns;
    columns.insert(columns.end(), options.order_by.begin(), options.order_by.end());
    const auto key_count = static_cast<ptrdiff_t>(options.key_columns.size());
    const KeyDealer& dealer = dealer_.emplace(partitions_);
    ARROW_ASSIGN_OR_RAISE(sources_, KeyPartitions::Make(&schema_, order.has_value(), partitions_,
                                                        BlockBytes(partitions_), context_));
    KeyEncoder encoder(&schema_, context_->read_pool);
    KeyBatch keys(context_->read_pool);
    ARROW_RETURN_NOT_OK(source_->ForEachBatch(
        columns, [&](int64_t first, const arrow::RecordBatch& batch) -> arrow::Status {
          const auto& arrays = batch.columns();
          ARROW_RETURN_NOT_OK(encoder.Encode({arrays.begin(), arrays.begin() + key_count}, &keys));
          ranges_.Observe(arrays);
          if (order) {
            ARROW_RETURN_NOT_OK(order->Load({arrays.begin() + key_count, arrays.end()}));
          }
          for (int64_t i = 0; i < keys.length; ++i) {
            if (MatchesNothing(keys, i)) {
              out_.wins.Set(first + i);
              continue;
            }
            ARROW_RETURN_NOT_OK(sources_->Append(dealer.PartitionOf(keys, i), keys, i, first + i,
                                                 order ? order->Loaded(i) : std::string_view()));
          }
          context_->progress.Advance(0, batch.num_rows());
          return arrow::Status::OK();
        }));
    return sources_->Finish();
  }

  bool MatchesNothing(const KeyBatch& keys, int64_t row) const {
    return context_->options.null_keys == NullKeys::kNever &&
           keys.has_null[static_cast<size_t>(row)] != 0;
  }

  arrow::Status MatchByPartition() {
    context_->progress.StartPhase("match", 0, target_->num_rows());
    ARROW_ASSIGN_OR_RAISE(auto targets, KeyPartitions::Make(&schema_, false, partitions_,
                                                            BlockBytes(partitions_), context_));
    ARROW_RETURN_NOT_OK(ForEachTargetKey(*target_, schema_, ranges_, context_,
                                         [&](const KeyBatch& keys, int64_t first) -> arrow::Status {
                                           for (int64_t i = 0; i < keys.length; ++i) {
                                             if (MatchesNothing(keys, i)) continue;
                                             const int partition = dealer_->PartitionOf(keys, i);
                                             if (sources_->records(partition) == 0) continue;
                                             ARROW_RETURN_NOT_OK(
                                                 targets->Append(partition, keys, i, first + i));
                                           }
                                           return arrow::Status::OK();
                                         }));
    ARROW_RETURN_NOT_OK(targets->Finish());
    for (int p = 0; p < partitions_; ++p) {
      ARROW_RETURN_NOT_OK(MatchPartition(*sources_, *targets, p, 0));
    }
    return arrow::Status::OK();
  }

  arrow::Status MatchPartition(const KeyPartitions& sources, const KeyPartitions& targets,
                               int partition, int depth) {
    if (sources.records(partition) == 0) return arrow::Status::OK();
    IndexPartition index(schema_, order_types_, index_bytes_, context_);
    arrow::Status loaded = index.Load({{&sources, partition}});
    if (loaded.ok()) {
      ARROW_RETURN_NOT_OK(Settle(index));
      return targets.ForEachBatch(partition, [&](const KeyedBatch& batch) {
        found_.resize(batch.numbers.size());
        index.Find(batch.keys, found_.data());
        for (size_t i = 0; i < found_.size(); ++i) {
          if (found_[i] == KeyIndex::kNone) continue;
          ARROW_RETURN_NOT_OK(Found(batch.numbers[i], found_[i]));
        }
        return arrow::Status::OK();
      });
    }
    if (!IndexPartition::IsFull(loaded)) return loaded;
    index.Clear();
    if (depth == kMaxDepth) return KeyTooLarge();
    const KeyDealer dealer(kSplit);
    ARROW_ASSIGN_OR_RAISE(auto source_parts, Split(sources, partition, dealer));
    ARROW_ASSIGN_OR_RAISE(auto target_parts, Split(targets, partition, dealer));
    for (int p = 0; p < kSplit; ++p) {
      ARROW_RETURN_NOT_OK(MatchPartition(*source_parts, *target_parts, p, depth + 1));
    }
    return arrow::Status::OK();
  }

  arrow::Result<std::unique_ptr<KeyPartitions>> Split(const KeyPartitions& from, int partition,
                                                      const KeyDealer& dealer) {
    const int64_t block = std::min<int64_t>(BlockBytes(kSplit), 64 * kKiB);
    ARROW_ASSIGN_OR_RAISE(auto out, KeyPartitions::Make(&schema_, from.with_notes(), dealer.count(),
                                                        block, context_));
    ARROW_RETURN_NOT_OK(from.ForEachBatch(partition, [&](const KeyedBatch& batch) {
      for (int64_t i = 0; i < batch.keys.length; ++i) {
        const auto at = static_cast<size_t>(i);
        ARROW_RETURN_NOT_OK(
            out->Append(dealer.PartitionOf(batch.keys, i), batch.keys, i, batch.numbers[at],
                        batch.notes.empty() ? std::string_view() : batch.notes[at]));
      }
      return arrow::Status::OK();
    }));
    ARROW_RETURN_NOT_OK(out->Finish());
    return out;
  }

  /// As many partitions at a time as seem to fit.
  arrow::Status MatchInPasses() {
    std::vector<Part> group;
    int64_t keys = 0;
    for (int p = 0; p < partitions_; ++p) {
      if (sources_->records(p) == 0) continue;
      if (!group.empty() && keys + sources_->records(p) > max_keys_) {
        ARROW_RETURN_NOT_OK(MatchGroup(group, 0));
        group.clear();
        keys = 0;
      }
      keys += sources_->records(p);
      group.emplace_back(sources_.get(), p);
    }
    return group.empty() ? arrow::Status::OK() : MatchGroup(group, 0);
  }

  /// A group that does not fit after all is halved; a single partition is split.
  arrow::Status MatchGroup(const std::vector<Part>& group, int depth) {
    IndexPartition index(schema_, order_types_, index_bytes_, context_);
    arrow::Status loaded = index.Load(group);
    if (loaded.ok()) return Probe(index);
    if (!IndexPartition::IsFull(loaded)) return loaded;
    index.Clear();
    if (depth == kMaxDepth) return KeyTooLarge();
    std::vector<Part> parts = group;
    std::unique_ptr<KeyPartitions> split;
    if (group.size() == 1) {
      ARROW_ASSIGN_OR_RAISE(split,
                            Split(*group.front().first, group.front().second, KeyDealer(kSplit)));
      parts.clear();
      for (int p = 0; p < kSplit; ++p) {
        if (split->records(p) > 0) parts.emplace_back(split.get(), p);
      }
    }
    const auto half = parts.begin() + static_cast<ptrdiff_t>(parts.size() + 1) / 2;
    ARROW_RETURN_NOT_OK(MatchGroup({parts.begin(), half}, depth + 1));
    return half == parts.end() ? arrow::Status::OK() : MatchGroup({half, parts.end()}, depth + 1);
  }

  arrow::Status Probe(const IndexPartition& index) {
    ARROW_RETURN_NOT_OK(Settle(index));
    context_->progress.StartPhase("match", 0, target_->num_rows());
    return ForEachTargetKey(*target_, schema_, ranges_, context_,
                            [&](const KeyBatch& keys, int64_t first) -> arrow::Status {
                              found_.resize(static_cast<size_t>(keys.length));
                              index.Find(keys, found_.data());
                              for (int64_t i = 0; i < keys.length; ++i) {
                                const int64_t ordinal = found_[static_cast<size_t>(i)];
                                if (ordinal == KeyIndex::kNone || MatchesNothing(keys, i)) continue;
                                ARROW_RETURN_NOT_OK(Found(first + i, ordinal));
                              }
                              return arrow::Status::OK();
                            });
  }

  /// Takes over who won among the source's rows.
  arrow::Status Settle(const IndexPartition& index) {
    index.ForEachOrdinal([&](int64_t ordinal) { out_.wins.Set(ordinal); });
    out_.dropped += index.dropped();
    lost_.insert(lost_.end(), index.first_dropped().begin(), index.first_dropped().end());
    std::sort(lost_.begin(), lost_.end());
    if (lost_.size() > kExamples) lost_.resize(kExamples);
    return arrow::Status::OK();
  }

  /// Row `position` of the target has the key of source row `ordinal`. For one ordinal, positions
  /// ascend.
  arrow::Status Found(int64_t position, int64_t ordinal) {
    const bool first = out_.matched.Set(ordinal);
    if (!first && duplicates_ == TargetDuplicates::kError) {
      ++duplicate_rows_;
      if (copies_.size() < kExamples) copies_.push_back(position);
    }
    if (strategy_ == MergeStrategy::kFullMerge) target_->removed().Clear(position);
    const bool moves = moves_ && partition_ids_.Of(ordinal) != groups_.PartitionOf(position);
    // Of several copies, one in its partition stays.
    const bool collapses = duplicates_ == TargetDuplicates::kCollapse;
    if (moves) {
      ++moved_rows_;
      if (moved_examples_.size() < kExamples) moved_examples_.push_back(position);
      out_.moved->Set(ordinal);
      target_->removed().Set(position);
    } else if (strategy_ == MergeStrategy::kDelete ||
               (!(moves_ ? stays_.Set(ordinal) : first) && collapses)) {
      target_->removed().Set(position);
    } else if (ReplacesRows(strategy_)) {
      ++groups_.GroupOf(position)->replaced;
      return out_.spilled->Add(source_->resident() ? SpillRecord{position, ordinal}
                                                   : SpillRecord{ordinal, position});
    }
    return arrow::Status::OK();
  }

  arrow::Status CheckDuplicates() {
    if (context_->options.source_duplicates == SourceDuplicates::kError && out_.dropped > 0) {
      ARROW_ASSIGN_OR_RAISE(auto examples, PrintSourceKeys(schema_, source_, lost_, context_));
      return DuplicateKeys("the source has duplicate keys: " + std::to_string(out_.dropped) +
                               " rows share a key with another",
                           std::move(examples));
    }
    if (duplicate_rows_ == 0) return arrow::Status::OK();
    ARROW_ASSIGN_OR_RAISE(auto examples, PrintTargetKeys(schema_, *target_, copies_, context_));
    return DuplicateKeys("the target has duplicate keys: " + std::to_string(duplicate_rows_) +
                             " rows share the key of a source row with another",
                         std::move(examples));
  }

  arrow::Status CheckMoves() {
    if (moved_rows_ > 0 && context_->options.partition_moves == PartitionMoves::kError) {
      ARROW_ASSIGN_OR_RAISE(auto examples,
                            PrintTargetKeys(schema_, *target_, moved_examples_, context_));
      return RowsWouldMove(moved_rows_, std::move(examples));
    }
    for (int64_t i = 0; moved_rows_ > 0 && i < source_->num_rows(); ++i) {
      if (stays_.Get(i)) out_.moved->Clear(i);
    }
    return arrow::Status::OK();
  }

  arrow::Status KeyTooLarge() const {
    return context_->TooSmall("some keys are too long for an index of " + FormatBytes(index_bytes_),
                              2 * context_->options.max_memory_bytes);
  }

  RowSource* source_;
  const SourcePartitions& partition_ids_;
  Target* target_;
  RunContext* context_;
  const MergeStrategy strategy_;
  const TargetDuplicates duplicates_;
  const bool moves_;  ///< rows may have to go to another partition
  RowBitmap stays_;   ///< source rows that replace one in their own partition
  KeySchema schema_;
  KeyRanges ranges_;
  KeyMatch out_;
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> order_types_;
  int64_t index_bytes_ = 0;
  int64_t block_room_ = 0;
  int64_t max_keys_ = 0;
  bool several_passes_ = false;
  int partitions_ = 0;
  std::optional<KeyDealer> dealer_;
  std::unique_ptr<KeyPartitions> sources_;
  std::vector<int64_t> found_;
  GroupFinder groups_;
  std::vector<int64_t> lost_;    ///< first source rows that lost to another
  std::vector<int64_t> copies_;  ///< some target rows that share a key
  int64_t duplicate_rows_ = 0;
  int64_t moved_rows_ = 0;
  std::vector<int64_t> moved_examples_;
};

}  // namespace

arrow::Result<KeyMatch> MatchSpilled(RowSource* source, const SourcePartitions& partitions,
                                     Target* target, RunContext* context) {
  return SpilledMatcher(source, partitions, target, context).Run();
}

}  // namespace floodwall

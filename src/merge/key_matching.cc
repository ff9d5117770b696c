#include "merge/key_matching.h"

#include <utility>

#include "merge/source_keys.h"
#include "merge/spilled_match.h"
#include "merge/strategy.h"
#include "merge/target_matching.h"

namespace floodwall {
namespace {

arrow::Result<KeyMatch> MatchInMemory(RowSource* source, const SourcePartitions& partitions,
                                      int threads, Target* target, RunContext* context) {
  ARROW_ASSIGN_OR_RAISE(SourceKeys keys, IngestKeys(source, *target, context));
  ARROW_ASSIGN_OR_RAISE(TargetMatch match, MatchTarget(keys, partitions, source->num_rows(),
                                                       threads, target, context));
  KeyMatch out;
  out.wins = std::move(keys.wins);
  out.matched = std::move(match.matched);
  out.moved = std::move(match.moved);
  out.distinct = keys.distinct;
  out.dropped = keys.dropped;
  out.removed = match.removed;
  return out;
}

}  // namespace

arrow::Result<KeyMatch> MatchKeys(RowSource* source, const SourcePartitions& partitions,
                                  int threads, Target* target, RunContext* context) {
  ARROW_ASSIGN_OR_RAISE(const int64_t key_bytes, IndexBytesPerKey(source, *target, context));
  const int64_t rows = source->num_rows();
  int64_t need = rows * key_bytes;
  if (ReplacesRows(context->options.strategy)) {
    need += std::min(rows, target->num_rows()) * static_cast<int64_t>(sizeof(RowMatch));
  }
  if (need <= context->budget->available_bytes() / 2) {
    auto match = MatchInMemory(source, partitions, threads, target, context);
    if (!match.status().IsOutOfMemory()) return match;
    // More copies of a key in the target than thought, or longer keys.
    ARROW_RETURN_NOT_OK(target->Reset());
  }
  return MatchSpilled(source, partitions, target, context);
}

}  // namespace floodwall

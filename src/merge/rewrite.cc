#include "merge/rewrite.h"

#include <algorithm>
#include <mutex>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/group_loader.h"
#include "merge/rewrite_file.h"
#include "merge/rewrite_need.h"
#include "merge/routed_rows.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

/// Takes the matches out of the target's row groups, by ordinal.
arrow::Result<std::unique_ptr<RecordSorter>> SpillMatches(Target* target, RunContext* context) {
  auto sorter = std::make_unique<RecordSorter>(
      context->spill.get(), context->budget->available_bytes() / 4, context->spill_pool);
  for (TargetFile& file : target->files()) {
    for (TargetRowGroup& group : file.row_groups) {
      for (const RowMatch& match : group.matches) {
        ARROW_RETURN_NOT_OK(sorter->Add({match.ordinal, group.first_row + match.row}));
      }
      std::vector<RowMatch>().swap(group.matches);
    }
  }
  ARROW_RETURN_NOT_OK(target->SumUp(context).status());
  return sorter;
}

/// Share of the memory that makes a worker of its own worth while: for the rows that one row group
/// replaces, of the widest column.
arrow::Result<int64_t> LeastShare(const RewriteNeed& need, RowSource* source) {
  ARROW_ASSIGN_OR_RAISE(const auto bytes, source->LogicalBytesPerValue());
  const double widest = bytes.empty() ? 0 : *std::max_element(bytes.begin(), bytes.end());
  return std::max(4 * RewriteNeed::kLeastShare,
                  need.group_rows * (2 * static_cast<int64_t>(widest + 1) + RoutedRows::kRowBytes));
}

}  // namespace

arrow::Result<std::vector<RewrittenFile>> RewriteFiles(Target* target, RowSource* source,
                                                       RecordSorter* spilled, Storage* storage,
                                                       Commit* commit, int threads,
                                                       RowBitmap* changed, RunContext* context) {
  ARROW_ASSIGN_OR_RAISE(const RewriteNeed need, SumUpNeed(*target, source, context));
  if (need.touched.empty()) return std::vector<RewrittenFile>{};
  context->progress.StartPhase("rewrite", need.total_bytes, need.total_rows);

  const int64_t limit = context->options.max_memory_bytes;
  std::vector<RewrittenFile> out(need.touched.size());
  const auto count = static_cast<int64_t>(need.touched.size());
  const auto rewrite = [&](int64_t i, std::shared_ptr<const RowSet> rows,
                           GroupLoader* loader) -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(out[static_cast<size_t>(i)],
                          RewriteFile(target, need.touched[static_cast<size_t>(i)], source, storage,
                                      commit, changed, std::move(rows), loader, context));
    return arrow::Status::OK();
  };

  int64_t held = context->budget->used_bytes();
  if (spilled == nullptr && held + need.task + need.loaded_bytes <= limit) {
    // As many threads as the budget carries beside all source rows.
    int workers = threads;
    while (workers > 1 && held + workers * need.task + need.loaded_bytes > limit) --workers;
    std::shared_ptr<const RowSet> rows;
    bool fits = true;
    if (need.all_rows > 0) {
      std::vector<int64_t> ordinals;
      if (!source->resident()) {
        ordinals.reserve(static_cast<size_t>(need.all_rows));
        for (const size_t f : need.touched) {
          for (const TargetRowGroup& group : target->files()[f].row_groups) {
            for (const RowMatch& match : group.matches) ordinals.push_back(match.ordinal);
          }
        }
        std::sort(ordinals.begin(), ordinals.end());
        ordinals.erase(std::unique(ordinals.begin(), ordinals.end()), ordinals.end());
      }
      auto loaded_rows = source->Load(std::move(ordinals));
      // Rows that are longer than the first ones: as if they had been known not to fit.
      fits = loaded_rows.ok() || !loaded_rows.status().IsOutOfMemory();
      if (fits) {
        ARROW_ASSIGN_OR_RAISE(rows, std::move(loaded_rows));
      }
    }
    while (fits && workers > 1 && context->budget->used_bytes() + workers * need.task > limit) {
      --workers;
    }
    fits = fits && context->budget->used_bytes() + need.task <= limit;
    if (fits) {
      ARROW_RETURN_NOT_OK(
          ParallelFor(workers, count, [&](int64_t i) { return rewrite(i, rows, nullptr); }));
      return out;
    }
  }

  std::unique_ptr<RecordSorter> by_ordinal;
  if (spilled == nullptr && !source->resident()) {
    ARROW_ASSIGN_OR_RAISE(by_ordinal, SpillMatches(target, context));
    spilled = by_ordinal.get();
    held = context->budget->used_bytes();
  }
  // A sorter gives its memory back when it is read.
  if (spilled != nullptr && !source->resident()) held -= spilled->memory_bytes();
  const int64_t minimum =
      held + need.task + (spilled != nullptr ? need.SpilledMatches(source->resident()) : 0);
  if (minimum > limit) {
    return context->TooSmall("rewriting one row group takes " + FormatBytes(minimum - held) +
                                 " beside the " + FormatBytes(held) + " in use",
                             minimum + minimum / 16);
  }
  const int64_t matches = need.group_rows * static_cast<int64_t>(sizeof(RowMatch));
  const auto share_of = [&](int workers) {
    const int64_t room = limit - held - workers * (need.task + matches);
    // Rows of several windows are longer and shorter than planned at different times.
    return workers == 1 ? room : room / workers * 3 / 4;
  };
  ARROW_ASSIGN_OR_RAISE(const int64_t least, LeastShare(need, source));
  int workers = source->resident() ? 1 : static_cast<int>(std::min<int64_t>(threads, count));
  while (workers > 1 && share_of(workers) < least) --workers;
  ARROW_ASSIGN_OR_RAISE(auto loaders, GroupLoader::Make(*target, source, need.columns, spilled,
                                                        share_of(workers), workers, context));
  by_ordinal.reset();
  context->progress.StartPhase("rewrite", need.total_bytes, need.total_rows);
  std::mutex mutex;
  ARROW_RETURN_NOT_OK(ParallelFor(workers, count, [&](int64_t i) -> arrow::Status {
    // Where there are several, each serves any file.
    std::unique_ptr<GroupLoader> loader;
    {
      std::lock_guard lock(mutex);
      loader = std::move(loaders.back());
      loaders.pop_back();
    }
    ARROW_RETURN_NOT_OK(rewrite(i, nullptr, loader.get()));
    std::lock_guard lock(mutex);
    loaders.push_back(std::move(loader));
    return arrow::Status::OK();
  }));
  return out;
}

}  // namespace floodwall

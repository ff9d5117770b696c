#include "floodwall/merge_plan.h"

#include <algorithm>
#include <filesystem>

#include "arrow/compute/initialize.h"
#include "dataset/commit.h"
#include "dataset/exchange.h"
#include "floodwall/error.h"
#include "merge/key_matching.h"
#include "merge/merge_checks.h"
#include "merge/plan_estimates.h"
#include "merge/recorded_result.h"
#include "merge/source_keys.h"
#include "merge/source_partitions.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

class Planner {
 public:
  explicit Planner(const MergeOptions& options) : options_(options), context_(options) {}

  arrow::Result<MergePlan> Run(const MergeSource& merge_source, const std::string& path) {
    plan_.strategy = options_.strategy;
    plan_.limit_bytes = options_.max_memory_bytes;
    context_.progress.StartPhase("plan", 0, 0);
    ARROW_ASSIGN_OR_RAISE(DatasetListing listing, ListDataset(path));
    if (CommitIsPending(listing.root)) {
      return MakeError(ErrorKind::kConflict,
                       "an interrupted merge is committed but not completed: recover '" + path +
                           "' before planning another");
    }
    ARROW_ASSIGN_OR_RAISE(source_, RowSource::Make(merge_source, &context_));
    ARROW_ASSIGN_OR_RAISE(bool any, CheckInputs(*source_, listing, path, options_));
    ARROW_ASSIGN_OR_RAISE(const auto known, FindResult(options_, options_.strategy, listing));
    if (known) any = false;
    if (any && options_.snapshot == Snapshot::kExchange) {
      ARROW_RETURN_NOT_OK(SnapshotExchange::Check(listing));
      ARROW_RETURN_NOT_OK(SnapshotExchange::ProbeWithoutLock(Storage::Posix(), listing.root));
    }
    ARROW_ASSIGN_OR_RAISE(target_, Target::Open(std::move(listing), *source_->schema(), &context_));
    plan_.target_count_before = plan_.target_count_after = target_.num_rows();
    for (const TargetFile& file : target_.files()) {
      plan_.row_groups += std::ssize(file.row_groups);
      plan_.files.push_back(
          {target_.AbsolutePath(file), file.num_rows, "preserved", file.file.version.size_bytes});
    }
    needs_.opened = context_.budget->used_bytes() + target_.scan_need();
    if (any) ARROW_RETURN_NOT_OK(PlanRows());
    plan_.minimum_memory_bytes = needs_.Minimum();
    plan_.estimated_bytes_read = context_.bytes_read + bytes_.read;
    plan_.estimated_bytes_written = bytes_.written;
    plan_.estimated_bytes_copied = bytes_.copied;
    plan_.estimated_bytes_encoded = bytes_.encoded;
    context_.progress.StartPhase("done", 0, 0);
    return std::move(plan_);
  }

 private:
  arrow::Status PlanRows() {
    context_.OpenSpill(SpillRoot());
    ARROW_RETURN_NOT_OK(source_->Prepare());
    needs_.held = context_.budget->used_bytes();
    ARROW_ASSIGN_OR_RAISE(const SourcePartitions partitions,
                          SourcePartitions::Read(source_.get(), &target_, &context_));
    const int threads = options_.threads > 0 ? options_.threads : UsableCpus();
    ARROW_ASSIGN_OR_RAISE(KeyMatch match,
                          MatchKeys(source_.get(), partitions, threads, &target_, &context_));
    target_.GiveNewColumns(*source_->schema(), options_);
    const int64_t moved = match.moved ? match.moved->Count() : 0;
    if (moved > 0) ARROW_RETURN_NOT_OK(CheckMovedRows(*source_->schema(), target_, options_));
    const int64_t matched = match.matched.Count();
    plan_.key_matching = match.method;
    plan_.source_count = match.distinct;
    plan_.duplicates_dropped = match.dropped;
    plan_.deleted = match.removed - moved;
    plan_.updated = ReplacesRows(options_.strategy) ? matched : 0;
    plan_.inserted = InsertsRows(options_.strategy) ? match.distinct - matched : 0;
    const int64_t added = plan_.inserted + moved;
    if (added > 0) ARROW_RETURN_NOT_OK(CheckNewRows(target_));
    plan_.target_count_after += plan_.inserted - plan_.deleted;

    RewriteNeed rewrite;
    if (options_.strategy != MergeStrategy::kInsert) {
      ARROW_ASSIGN_OR_RAISE(rewrite, SumUpNeed(target_, source_.get(), &context_));
    }
    ARROW_ASSIGN_OR_RAISE(needs_.insert,
                          InsertNeed(target_, source_.get(), partitions.known(), added, &context_));
    ARROW_RETURN_NOT_OK(NoteNeeds(match, rewrite));
    return Estimate(match, rewrite, added);
  }

  /// A target that does not exist yet has no place for spill files.
  std::string SpillRoot() const {
    std::error_code ignored;
    const std::string& root = target_.listing().root;
    if (std::filesystem::is_directory(root, ignored)) return root;
    return std::filesystem::temp_directory_path(ignored).string();
  }

  arrow::Status NoteNeeds(const KeyMatch& match, const RewriteNeed& rewrite) {
    int64_t matches = 0;
    for (const TargetFile& file : target_.files()) {
      for (const TargetRowGroup& group : file.row_groups) {
        plan_.touched_row_groups += group.touched() ? 1 : 0;
        matches += static_cast<int64_t>(group.matches.capacity() * sizeof(RowMatch));
      }
    }
    // One more bit a source row says which of them change something.
    needs_.fixed = context_.budget->used_bytes() - matches + source_->num_rows() / 8;
    if (match.spilled) needs_.fixed -= match.spilled->memory_bytes();
    needs_.matches = rewrite.all_rows * static_cast<int64_t>(sizeof(RowMatch));
    needs_.rewrite = rewrite;
    needs_.resident = source_->resident();
    // Rows that stay in their partition have a bit, too, when keys are matched in spill files.
    if (match.moved) needs_.fixed += source_->num_rows() / 8;
    for (const std::string& name : rewrite.columns) {
      if (needs_.resident) break;
      ARROW_ASSIGN_OR_RAISE(const int64_t column, source_->ReadNeed({name}));
      needs_.source_pages = std::max(needs_.source_pages, column);
    }
    ARROW_ASSIGN_OR_RAISE(const int64_t key_bytes,
                          IndexBytesPerKey(source_.get(), target_, &context_));
    needs_.keys = source_->num_rows() * key_bytes;
    ARROW_ASSIGN_OR_RAISE(needs_.key_pages, KeyReadNeed(target_, source_.get(), &context_));
    return arrow::Status::OK();
  }

  arrow::Status Estimate(const KeyMatch& match, const RewriteNeed& rewrite, int64_t added) {
    for (const size_t f : rewrite.touched) {
      const TargetFile& file = target_.files()[f];
      MergeFileMetadata& out = plan_.files[f];
      out.row_count = file.rows_left();
      if (out.row_count == 0 && !target_.listing().single_file) {
        out.operation = "deleted";
        out.size_bytes = 0;
        continue;
      }
      ARROW_ASSIGN_OR_RAISE(const FileEstimate estimate,
                            EstimateRewrite(target_, file, source_.get(), &context_));
      out.operation = "rewritten";
      out.size_bytes = estimate.written;
      bytes_.Add(estimate);
    }
    ARROW_ASSIGN_OR_RAISE(const int64_t inserted, EstimateInsert(target_, source_.get(), added));
    bytes_.written += inserted;
    bytes_.encoded += inserted;
    const int64_t held = context_.budget->used_bytes() + source_->num_rows() / 8;
    const bool fits =
        !match.spilled && held + rewrite.task + rewrite.loaded_bytes <= plan_.limit_bytes;
    plan_.spills_rows = !fits && !source_->resident() && rewrite.all_rows > 0;
    plan_.estimated_bytes_spilled = context_.spill->bytes_spilled();
    if (plan_.spills_rows) {
      ARROW_ASSIGN_OR_RAISE(const int64_t routed, EstimateRouting(source_.get(), rewrite));
      plan_.estimated_bytes_spilled += routed;
    }
    return arrow::Status::OK();
  }

  const MergeOptions& options_;
  RunContext context_;
  std::unique_ptr<RowSource> source_;
  Target target_;
  MergePlan plan_;
  PhaseNeeds needs_;
  FileEstimate bytes_;
};

}  // namespace

arrow::Result<MergePlan> PlanMerge(const MergeSource& source, const std::string& path,
                                   const MergeOptions& options) {
  ARROW_RETURN_NOT_OK(arrow::compute::Initialize());
  ARROW_RETURN_NOT_OK(CheckOptions(options));
  return Planner(options).Run(source, path);
}

}  // namespace floodwall

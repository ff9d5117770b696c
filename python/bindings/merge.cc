#include "floodwall/merge.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "arrow/table.h"
#include "arrow/util/compression.h"
#include "arrow_stream.h"
#include "errors.h"
#include "floodwall/merge_plan.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

/// A merge that Python starts in one thread and watches from another.
class MergeJob {
 public:
  /// No source: duplicate keys inside the target are removed.
  MergeJob(std::optional<MergeSource> source, std::string path, MergeOptions options)
      : source_(std::move(source)),
        path_(std::move(path)),
        options_(std::move(options)),
        control_(std::make_shared<MergeControl>()) {
    options_.control = control_;
  }

  MergeResult Run() {
    arrow::Result<MergeResult> result;
    {
      nb::gil_scoped_release release;
      result = source_ ? Merge(*source_, path_, options_) : Deduplicate(path_, options_);
    }
    return ValueOrThrow(std::move(result));
  }
  MergePlan Plan() {
    arrow::Result<MergePlan> plan;
    {
      nb::gil_scoped_release release;
      plan = PlanMerge(*source_, path_, options_);
    }
    return ValueOrThrow(std::move(plan));
  }
  MergeProgress progress() const { return control_->progress(); }
  void Cancel() { control_->Cancel(); }

 private:
  std::optional<MergeSource> source_;
  std::string path_;
  MergeOptions options_;
  std::shared_ptr<MergeControl> control_;
};

/// A table's batches are the caller's memory; a stream's are produced while it is read.
std::optional<MergeSource> MakeSource(nb::handle data, const std::string& kind) {
  if (kind == "none") return std::nullopt;
  if (kind == "parquet") return MergeSource::FromParquet(nb::cast<std::vector<std::string>>(data));
  auto reader = ValueOrThrow(ImportStream(data));
  if (kind == "stream") return MergeSource::FromReader(std::move(reader));
  return MergeSource::FromTable(ValueOrThrow(reader->ToTable()));
}

}  // namespace

void BindMerge(nb::module_& m) {
  nb::enum_<MergeStrategy>(m, "MergeStrategy")
      .value("upsert", MergeStrategy::kUpsert)
      .value("insert", MergeStrategy::kInsert)
      .value("update", MergeStrategy::kUpdate)
      .value("delete", MergeStrategy::kDelete)
      .value("full_merge", MergeStrategy::kFullMerge)
      .value("deduplicate", MergeStrategy::kDeduplicate);
  nb::enum_<TargetDuplicates>(m, "TargetDuplicates")
      .value("all", TargetDuplicates::kAll)
      .value("collapse", TargetDuplicates::kCollapse)
      .value("error", TargetDuplicates::kError);
  nb::enum_<SourceDuplicates>(m, "SourceDuplicates")
      .value("last", SourceDuplicates::kLast)
      .value("first", SourceDuplicates::kFirst)
      .value("error", SourceDuplicates::kError);
  nb::enum_<NullKeys>(m, "NullKeys")
      .value("match", NullKeys::kMatch)
      .value("never", NullKeys::kNever);
  nb::enum_<MissingColumns>(m, "MissingColumns")
      .value("keep", MissingColumns::kKeep)
      .value("null", MissingColumns::kNull);
  nb::enum_<NewColumns>(m, "NewColumns")
      .value("error", NewColumns::kError)
      .value("ignore", NewColumns::kIgnore)
      .value("add", NewColumns::kAdd);
  nb::enum_<PartitionMoves>(m, "PartitionMoves")
      .value("move", PartitionMoves::kMove)
      .value("error", PartitionMoves::kError);
  nb::enum_<Snapshot>(m, "Snapshot")
      .value("in_place", Snapshot::kInPlace)
      .value("exchange", Snapshot::kExchange);

  nb::class_<MergeOptions>(m, "MergeOptions")
      .def(nb::init<>())
      .def_rw("strategy", &MergeOptions::strategy)
      .def_rw("key_columns", &MergeOptions::key_columns)
      .def_rw("max_memory_bytes", &MergeOptions::max_memory_bytes)
      .def_rw("source_duplicates", &MergeOptions::source_duplicates)
      .def_rw("order_by", &MergeOptions::order_by)
      .def_rw("target_duplicates", &MergeOptions::target_duplicates)
      .def_rw("allow_delete_all", &MergeOptions::allow_delete_all)
      .def_rw("null_keys", &MergeOptions::null_keys)
      .def_rw("missing_columns", &MergeOptions::missing_columns)
      .def_rw("new_columns", &MergeOptions::new_columns)
      .def_rw("partition_columns", &MergeOptions::partition_columns, nb::arg().none())
      .def_rw("partition_moves", &MergeOptions::partition_moves)
      .def_rw("max_rows_per_file", &MergeOptions::max_rows_per_file)
      .def_rw("row_group_bytes", &MergeOptions::row_group_bytes)
      .def_rw("snapshot", &MergeOptions::snapshot)
      .def_rw("idempotency_token", &MergeOptions::idempotency_token)
      .def_rw("spill_directory", &MergeOptions::spill_directory)
      .def_rw("max_spill_bytes", &MergeOptions::max_spill_bytes)
      .def_rw("threads", &MergeOptions::threads)
      .def(
          "set_compression",
          [](MergeOptions& options, const std::string& name) {
            options.compression = ValueOrThrow(arrow::util::Codec::GetCompressionType(name));
          },
          nb::arg("name"));

  nb::class_<MergeFileMetadata>(m, "MergeFile")
      .def_ro("path", &MergeFileMetadata::path)
      .def_ro("row_count", &MergeFileMetadata::row_count)
      .def_ro("operation", &MergeFileMetadata::operation)
      .def_ro("size_bytes", &MergeFileMetadata::size_bytes);

  nb::class_<MergeResult>(m, "MergeOutcome")
      .def_ro("source_count", &MergeResult::source_count)
      .def_ro("target_count_before", &MergeResult::target_count_before)
      .def_ro("target_count_after", &MergeResult::target_count_after)
      .def_ro("inserted", &MergeResult::inserted)
      .def_ro("updated", &MergeResult::updated)
      .def_ro("unchanged", &MergeResult::unchanged)
      .def_ro("deleted", &MergeResult::deleted)
      .def_ro("duplicates_dropped", &MergeResult::duplicates_dropped)
      .def_ro("files", &MergeResult::files)
      .def_ro("elapsed_s", &MergeResult::elapsed_s)
      .def_ro("limit_bytes", &MergeResult::limit_bytes)
      .def_ro("peak_memory_bytes", &MergeResult::peak_memory_bytes)
      .def_ro("bytes_read", &MergeResult::bytes_read)
      .def_ro("bytes_written", &MergeResult::bytes_written)
      .def_ro("bytes_copied", &MergeResult::bytes_copied)
      .def_ro("bytes_encoded", &MergeResult::bytes_encoded)
      .def_ro("bytes_spilled", &MergeResult::bytes_spilled)
      .def_ro("threads", &MergeResult::threads)
      .def_ro("already_committed", &MergeResult::already_committed)
      .def_ro("phase_seconds", &MergeResult::phase_seconds);

  nb::enum_<KeyMatching>(m, "KeyMatching")
      .value("in_memory", KeyMatching::kInMemory)
      .value("in_passes", KeyMatching::kInPasses)
      .value("partitioned", KeyMatching::kPartitioned);
  nb::class_<MergePlan>(m, "Plan")
      .def_ro("limit_bytes", &MergePlan::limit_bytes)
      .def_ro("minimum_memory_bytes", &MergePlan::minimum_memory_bytes)
      .def_ro("key_matching", &MergePlan::key_matching)
      .def_ro("spills_rows", &MergePlan::spills_rows)
      .def_ro("source_count", &MergePlan::source_count)
      .def_ro("target_count_before", &MergePlan::target_count_before)
      .def_ro("target_count_after", &MergePlan::target_count_after)
      .def_ro("inserted", &MergePlan::inserted)
      .def_ro("updated", &MergePlan::updated)
      .def_ro("deleted", &MergePlan::deleted)
      .def_ro("duplicates_dropped", &MergePlan::duplicates_dropped)
      .def_ro("row_groups", &MergePlan::row_groups)
      .def_ro("touched_row_groups", &MergePlan::touched_row_groups)
      .def_ro("files", &MergePlan::files)
      .def_ro("estimated_bytes_read", &MergePlan::estimated_bytes_read)
      .def_ro("estimated_bytes_written", &MergePlan::estimated_bytes_written)
      .def_ro("estimated_bytes_copied", &MergePlan::estimated_bytes_copied)
      .def_ro("estimated_bytes_encoded", &MergePlan::estimated_bytes_encoded)
      .def_ro("estimated_bytes_spilled", &MergePlan::estimated_bytes_spilled);

  nb::class_<MergeProgress>(m, "JobProgress")
      .def_ro("phase", &MergeProgress::phase)
      .def_ro("done_bytes", &MergeProgress::done_bytes)
      .def_ro("total_bytes", &MergeProgress::total_bytes)
      .def_ro("done_rows", &MergeProgress::done_rows)
      .def_ro("total_rows", &MergeProgress::total_rows)
      .def_ro("spilled_bytes", &MergeProgress::spilled_bytes)
      .def_ro("used_bytes", &MergeProgress::used_bytes)
      .def_ro("limit_bytes", &MergeProgress::limit_bytes)
      .def_ro("elapsed_s", &MergeProgress::elapsed_s);

  nb::class_<MergeJob>(m, "MergeJob")
      .def(
          "__init__",
          [](MergeJob* self, nb::handle data, const std::string& kind, const std::string& path,
             const MergeOptions& options) {
            new (self) MergeJob(MakeSource(data, kind), path, options);
          },
          nb::arg("data").none(), nb::arg("kind"), nb::arg("path"), nb::arg("options"))
      .def("run", &MergeJob::Run)
      .def("plan", &MergeJob::Plan)
      .def("progress", &MergeJob::progress)
      .def("cancel", &MergeJob::Cancel);

  nb::class_<RecoveryResult>(m, "Recovery")
      .def_prop_ro("action",
                   [](const RecoveryResult& r) {
                     switch (r.action) {
                       case RecoveryAction::kRolledForward: return "rolled_forward";
                       case RecoveryAction::kCleaned: return "cleaned";
                       default: return "none";
                     }
                   })
      .def_ro("published_files", &RecoveryResult::published_files)
      .def_ro("removed_files", &RecoveryResult::removed_files)
      .def_ro("staged_bytes_removed", &RecoveryResult::staged_bytes_removed);
  m.def(
      "recover",
      [](const std::string& path) {
        arrow::Result<RecoveryResult> result;
        {
          nb::gil_scoped_release release;
          result = Recover(path);
        }
        return ValueOrThrow(std::move(result));
      },
      nb::arg("path"));
}

}  // namespace floodwall::python

#include "merge/rewrite.h"

#include <algorithm>

#include "arrow/io/memory.h"
#include "arrow/ipc/api.h"
#include "arrow/util/base64.h"
#include "arrow/util/key_value_metadata.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/field_plan.h"
#include "merge/field_recoder.h"
#include "merge/page_patcher.h"
#include "merge/rewrite_need.h"
#include "merge/row_edits.h"
#include "merge/strategy.h"

namespace floodwall {
namespace {

/// Loads the source rows that a stretch of row groups needs.
class RowLoader {
 public:
  RowLoader(RowSource* source, int64_t row_bytes, int64_t share)
      : source_(source), row_bytes_(row_bytes), share_(share) {}

  bool in_memory() const { return row_bytes_ == 0; }
  /// Distinct rows that may be loaded at once.
  int64_t max_rows() const { return in_memory() ? INT64_MAX : share_ / row_bytes_; }
  arrow::Result<std::shared_ptr<const RowSet>> Load(std::vector<int64_t> ordinals) {
    std::sort(ordinals.begin(), ordinals.end());
    ordinals.erase(std::unique(ordinals.begin(), ordinals.end()), ordinals.end());
    return source_->Load(std::move(ordinals));
  }

 private:
  RowSource* source_;
  int64_t row_bytes_;
  int64_t share_;
};

class FileRewriter {
 public:
  FileRewriter(Target* target, size_t file, RowSource* source, Storage* storage, Commit* commit,
               RowBitmap* changed, RunContext* context)
      : target_(target),
        index_(file),
        file_(target->files()[file]),
        schema_(*source->schema()),
        storage_(storage),
        commit_(commit),
        changed_(changed),
        context_(context) {}

  /// rows: everything this file needs; null: loaded stretch by stretch.
  arrow::Result<RewrittenFile> Run(std::shared_ptr<const RowSet> rows, RowLoader* loader) {
    RewrittenFile out;
    out.file = index_;
    if (file_.rows_left() == 0 && !target_->listing().single_file) {
      out.removed = true;
      return out;
    }
    ARROW_ASSIGN_OR_RAISE(
        base_, ParquetSource::Open(target_->AbsolutePath(file_), context_->encode_pool->budget()));
    plans_ = PlanFields(*base_, schema_, *target_, context_->options);
    size_t loaded_until = 0;
    for (size_t g = 0; g < file_.row_groups.size(); ++g) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      if (loader != nullptr && g >= loaded_until && !file_.row_groups[g].matches.empty()) {
        rows.reset();
        positions_of_.reset();
        ARROW_ASSIGN_OR_RAISE(rows, LoadFrom(g, loader, &loaded_until));
      }
      ARROW_RETURN_NOT_OK(RewriteRowGroup(g, rows));
    }
    if (file_.gains_columns) ARROW_RETURN_NOT_OK(StartFile(file_.row_groups.size()));
    out.changed = assembler_ != nullptr;
    if (assembler_) {
      ARROW_ASSIGN_OR_RAISE(out.assembled, assembler_->Finish());
      context_->bytes_copied += out.assembled.copied_bytes;
      context_->bytes_encoded += out.assembled.encoded_bytes;
      context_->bytes_written += out.assembled.size_bytes;
    }
    return out;
  }

 private:
  arrow::Result<std::shared_ptr<const RowSet>> LoadFrom(size_t first, RowLoader* loader,
                                                        size_t* until) {
    std::vector<int64_t> ordinals;
    size_t g = first;
    for (; g < file_.row_groups.size(); ++g) {
      const auto& matches = file_.row_groups[g].matches;
      if (g > first &&
          static_cast<int64_t>(ordinals.size() + matches.size()) > loader->max_rows()) {
        break;
      }
      for (const RowMatch& match : matches) ordinals.push_back(match.ordinal);
    }
    *until = g;
    return loader->Load(std::move(ordinals));
  }

  /// The staged file begins with the first row group that really changes; those before it are
  /// copied then.
  arrow::Status StartFile(size_t row_group) {
    if (assembler_) return arrow::Status::OK();
    ARROW_ASSIGN_OR_RAISE(auto staged, storage_->CreateFile(commit_->StagePath(), file_.file.mode));
    ARROW_ASSIGN_OR_RAISE(assembler_,
                          ParquetAssembler::Make(std::move(staged), base_, context_->encode_pool));
    ARROW_RETURN_NOT_OK(NoteNewColumns());
    for (size_t g = 0; g < row_group; ++g) {
      ARROW_RETURN_NOT_OK(CopyRowGroup(static_cast<int>(g)));
    }
    return arrow::Status::OK();
  }

  bool adds_columns() const { return !plans_.empty() && plans_.back().added != nullptr; }

  /// Arrow's own note of the schema must have every column.
  arrow::Status NoteNewColumns() {
    const auto& metadata = base_->key_value_metadata();
    const int note = metadata ? metadata->FindKey("ARROW:schema") : -1;
    if (note < 0 || !adds_columns()) return arrow::Status::OK();
    ARROW_ASSIGN_OR_RAISE(std::string bytes, arrow::util::base64_decode(metadata->value(note)));
    arrow::io::BufferReader reader(arrow::Buffer::FromString(std::move(bytes)));
    arrow::ipc::DictionaryMemo memo;
    ARROW_ASSIGN_OR_RAISE(auto schema, arrow::ipc::ReadSchema(&reader, &memo));
    for (const FieldPlan& plan : plans_) {
      if (!plan.added) continue;
      ARROW_ASSIGN_OR_RAISE(schema, schema->AddField(schema->num_fields(), plan.added));
    }
    ARROW_ASSIGN_OR_RAISE(const auto out,
                          arrow::ipc::SerializeSchema(*schema, context_->encode_pool));
    return assembler_->ReplaceMetadata("ARROW:schema", arrow::util::base64_encode(out->ToString()));
  }

  /// Unchanged, with nulls in columns that are new.
  arrow::Status CopyRowGroup(int base_group) {
    if (!adds_columns()) return assembler_->CopyRowGroup(base_group);
    ARROW_RETURN_NOT_OK(assembler_->BeginRowGroup(base_group));
    std::vector<uint8_t> unchanged;
    const std::vector<RowMatch> none;
    for (int c = 0; c < base_->num_columns(); ++c) {
      ARROW_RETURN_NOT_OK(assembler_->CopyChunk(c));
    }
    for (const FieldPlan& plan : plans_) {
      if (plan.added) ARROW_RETURN_NOT_OK(RecodeField(base_group, plan, none, nullptr, &unchanged));
    }
    return EndRowGroup(base_->row_group_rows(base_group));
  }

  arrow::Status RecodeField(int base_group, const FieldPlan& plan,
                            const std::vector<RowMatch>& edits,
                            const std::shared_ptr<const RowSet>& rows,
                            std::vector<uint8_t>* changed) {
    return FieldRecoder(base_, base_group, plan, &edits, TakeOf(plan, rows), context_)
        .Recode(assembler_.get(), storage_, commit_, !extended_, changed);
  }

  arrow::Status EndRowGroup(int64_t rows) {
    extended_ = true;
    return assembler_->EndRowGroup(rows);
  }

  ColumnRecoder::TakeValues TakeOf(const FieldPlan& plan,
                                   const std::shared_ptr<const RowSet>& rows) {
    return [this, &rows, column = plan.source_column](
               std::span<const int64_t> ordinals) -> arrow::Result<std::shared_ptr<arrow::Array>> {
      if (column < 0) return std::shared_ptr<arrow::Array>();
      // One column after another asks for the same rows.
      if (positions_of_ != rows ||
          !std::equal(ordinals.begin(), ordinals.end(), positioned_.begin(), positioned_.end())) {
        positions_of_.reset();
        ARROW_ASSIGN_OR_RAISE(positions_, rows->Positions(ordinals, context_->encode_pool));
        positioned_.assign(ordinals.begin(), ordinals.end());
        positions_of_ = rows;
      }
      return rows->TakeAt(column, positions_, context_->encode_pool);
    };
  }

  arrow::Status RewriteRowGroup(size_t g, const std::shared_ptr<const RowSet>& rows) {
    const TargetRowGroup& group = file_.row_groups[g];
    const int base_group = static_cast<int>(g);
    int64_t group_bytes = 0;
    for (int leaf = 0; leaf < base_->num_columns(); ++leaf) {
      group_bytes += base_->chunk_range(base_group, leaf).length;
    }
    if (group.removed > 0 && group.rows_left() == 0) {
      ARROW_RETURN_NOT_OK(StartFile(g));  // and nothing of this group
    } else if (group.touched()) {
      ARROW_RETURN_NOT_OK(EditRowGroup(group, base_group, rows));
    } else if (assembler_) {
      ARROW_RETURN_NOT_OK(CopyRowGroup(base_group));
    }
    context_->progress.Advance(group_bytes, group.num_rows);
    return arrow::Status::OK();
  }

  arrow::Status EditRowGroup(const TargetRowGroup& group, int base_group,
                             const std::shared_ptr<const RowSet>& rows) {
    const RowEdits edits = RowEdits::Of(*target_, group);
    std::vector<uint8_t> changed(edits.all.size(), 0);
    // The row group begins with the first column that changes; those before it are copied then.
    bool begun = false;
    int leaf = 0;
    const auto begin = [&]() -> arrow::Result<ParquetAssembler*> {
      if (!begun) {
        ARROW_RETURN_NOT_OK(StartFile(static_cast<size_t>(base_group)));
        ARROW_RETURN_NOT_OK(assembler_->BeginRowGroup(base_group));
        begun = true;
        for (int c = 0; c < leaf; ++c) ARROW_RETURN_NOT_OK(assembler_->CopyChunk(c));
      }
      return assembler_.get();
    };
    for (const FieldPlan& plan : plans_) {
      leaf = plan.added ? base_->num_columns() : plan.leaf;
      bool differs = false;
      // Where rows go away, every column changes.
      const auto& column_edits = plan.replace ? edits.all : edits.removals;
      if (plan.nested) {
        ARROW_RETURN_NOT_OK(
            EditField(base_group, plan, column_edits, rows, begun, begin, &changed));
        continue;
      }
      if (!column_edits.empty()) {
        ARROW_ASSIGN_OR_RAISE(differs,
                              EditChunk(base_group, plan, column_edits, rows, begin, &changed));
        context_->bytes_read += base_->chunk_range(base_group, leaf).length;
      }
      if (!differs && begun) ARROW_RETURN_NOT_OK(assembler_->CopyChunk(leaf));
    }
    for (size_t i = 0; i < changed.size(); ++i) {
      if (changed[i] != 0) changed_->Set(edits.all[i].ordinal);
    }
    if (begun) return EndRowGroup(group.rows_left());
    return assembler_ ? CopyRowGroup(base_group) : arrow::Status::OK();
  }

  /// A nested or a new column: copied or recoded where the row group has begun or begins with it.
  arrow::Status EditField(int row_group, const FieldPlan& plan, const std::vector<RowMatch>& edits,
                          const std::shared_ptr<const RowSet>& rows, bool begun,
                          const PagePatcher::Begin& begin, std::vector<uint8_t>* changed) {
    bool differs = false;
    if (!edits.empty()) {
      ARROW_ASSIGN_OR_RAISE(
          differs,
          FieldRecoder(base_, row_group, plan, &edits, TakeOf(plan, rows), context_).Differs());
      for (int i = 0; i < plan.leaf_count; ++i) {
        context_->bytes_read += base_->chunk_range(row_group, plan.leaf + i).length;
      }
    }
    if (differs || (begun && plan.added)) {
      ARROW_RETURN_NOT_OK(begin().status());
      return RecodeField(row_group, plan, edits, rows, changed);
    }
    for (int i = 0; begun && i < plan.leaf_count; ++i) {
      ARROW_RETURN_NOT_OK(assembler_->CopyChunk(plan.leaf + i));
    }
    return arrow::Status::OK();
  }

  /// Whether the chunk changes; it is in the assembler then.
  arrow::Result<bool> EditChunk(int row_group, const FieldPlan& plan,
                                const std::vector<RowMatch>& edits,
                                const std::shared_ptr<const RowSet>& rows,
                                const PagePatcher::Begin& begin, std::vector<uint8_t>* changed) {
    const ColumnRecoder::TakeValues take = TakeOf(plan, rows);
    ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(base_, row_group, plan.leaf));
    ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, ListPages(chunk));
    if (PagePatcher::CanPatch(chunk, pages)) {
      return PagePatcher(&chunk, &pages, &edits, &take, context_).Run(begin, changed);
    }
    const auto recoder = [&] {
      return ColumnRecoder(base_, row_group, plan.leaf, &edits, take, context_);
    };
    ARROW_ASSIGN_OR_RAISE(const bool differs, recoder().Differs());
    if (!differs) return false;
    ARROW_ASSIGN_OR_RAISE(ParquetAssembler * assembler, begin());
    ARROW_RETURN_NOT_OK(recoder().Recode(assembler, changed));
    return true;
  }

  Target* target_;
  size_t index_;
  TargetFile& file_;
  const arrow::Schema& schema_;
  Storage* storage_;
  Commit* commit_;
  RowBitmap* changed_;
  RunContext* context_;
  std::shared_ptr<ParquetSource> base_;
  std::vector<FieldPlan> plans_;
  std::unique_ptr<ParquetAssembler> assembler_;
  bool extended_ = false;  ///< the assembler's schema has the new columns
  // Where the source rows asked for last are.
  std::vector<int64_t> positioned_;
  std::shared_ptr<arrow::Array> positions_;
  std::shared_ptr<const RowSet> positions_of_;
};

}  // namespace

arrow::Result<std::vector<RewrittenFile>> RewriteFiles(Target* target, RowSource* source,
                                                       Storage* storage, Commit* commit,
                                                       int threads, RowBitmap* changed,
                                                       RunContext* context) {
  std::vector<size_t> touched;
  int64_t task_need = 0;
  int64_t group_rows = 0;  // most distinct rows one row group needs
  int64_t all_rows = 0;
  int64_t total_bytes = 0;
  int64_t total_rows = 0;
  for (size_t f = 0; f < target->files().size(); ++f) {
    const TargetFile& file = target->files()[f];
    if (!file.touched && !file.gains_columns) continue;
    touched.push_back(f);
    total_bytes += file.file.version.size_bytes;
    total_rows += file.num_rows;
    ARROW_ASSIGN_OR_RAISE(
        auto opened, ParquetSource::Open(target->AbsolutePath(file), context->read_pool->budget()));
    const auto plans = PlanFields(*opened, *source->schema(), *target, context->options);
    ARROW_ASSIGN_OR_RAISE(const int64_t need, TaskNeed(file, opened, plans));
    task_need = std::max(task_need, need);
    for (const TargetRowGroup& group : file.row_groups) {
      const auto rows = static_cast<int64_t>(group.matches.size());
      group_rows = std::max(group_rows, rows);
      all_rows += rows;
    }
  }
  if (touched.empty()) return std::vector<RewrittenFile>{};
  context->progress.StartPhase("rewrite", total_bytes, total_rows);

  // Where rows are only removed, the source's other columns are not looked at.
  int64_t row_bytes = 0;
  if (all_rows > 0) {
    ARROW_ASSIGN_OR_RAISE(row_bytes, source->LoadedBytesPerRow());
  }
  // New values of a slice exist as Arrow values and as Parquet pages at once.
  const int64_t value_bytes = row_bytes > 0 ? row_bytes : 512;
  task_need +=
      4 * std::min(group_rows, ColumnRecoder::kSliceRows) * std::min<int64_t>(value_bytes, 512);
  const int64_t held = context->budget->used_bytes();
  const int64_t minimum = held + task_need + group_rows * row_bytes * 3 / 2;
  if (minimum > context->options.max_memory_bytes) {
    return context->TooSmall("rewriting one row group takes " + FormatBytes(minimum - held) +
                                 " beside the " + FormatBytes(held) + " of the key index",
                             minimum + minimum / 16);
  }
  // As many threads as the budget carries beside all source rows; what one thread leaves is
  // enough for the rows of one row group, as checked above.
  int workers = threads;
  while (workers > 1 && held + workers * task_need + all_rows * row_bytes * 3 / 2 >
                            context->options.max_memory_bytes) {
    --workers;
  }
  const int64_t share = context->options.max_memory_bytes - held - workers * task_need;
  // Loading a row touches it twice for a moment (the batch and what is taken from it).
  RowLoader loader(source, row_bytes * 3 / 2, share);

  std::vector<RewrittenFile> out(touched.size());
  const auto rewrite = [&](int64_t i, std::shared_ptr<const RowSet> rows,
                           RowLoader* stretches) -> arrow::Status {
    FileRewriter rewriter(target, touched[static_cast<size_t>(i)], source, storage, commit, changed,
                          context);
    ARROW_ASSIGN_OR_RAISE(out[static_cast<size_t>(i)], rewriter.Run(std::move(rows), stretches));
    return arrow::Status::OK();
  };
  const auto count = static_cast<int64_t>(touched.size());
  if (loader.in_memory() || all_rows <= loader.max_rows()) {
    std::vector<int64_t> ordinals;
    if (!loader.in_memory()) {
      for (const size_t f : touched) {
        for (const TargetRowGroup& group : target->files()[f].row_groups) {
          for (const RowMatch& match : group.matches) ordinals.push_back(match.ordinal);
        }
      }
    }
    std::shared_ptr<const RowSet> rows;
    if (all_rows > 0) {
      ARROW_ASSIGN_OR_RAISE(rows, loader.Load(std::move(ordinals)));
    }
    ARROW_RETURN_NOT_OK(
        ParallelFor(workers, count, [&](int64_t i) { return rewrite(i, rows, nullptr); }));
  } else {
    for (int64_t i = 0; i < count; ++i) ARROW_RETURN_NOT_OK(rewrite(i, nullptr, &loader));
  }
  return out;
}

}  // namespace floodwall

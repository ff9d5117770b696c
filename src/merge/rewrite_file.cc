#include "merge/rewrite_file.h"

#include <algorithm>

#include "arrow/io/memory.h"
#include "arrow/ipc/api.h"
#include "arrow/util/base64.h"
#include "arrow/util/key_value_metadata.h"
#include "merge/field_plan.h"
#include "merge/field_recoder.h"
#include "merge/page_patcher.h"
#include "merge/row_edits.h"

namespace floodwall {
namespace {

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

  /// rows: everything this file needs, matches in place; or a loader that gives both.
  arrow::Result<RewrittenFile> Run(std::shared_ptr<const RowSet> rows, GroupLoader* loader) {
    RewrittenFile out;
    out.file = index_;
    if (file_.rows_left() == 0 && !target_->listing().single_file) {
      out.removed = true;
      return out;
    }
    ARROW_ASSIGN_OR_RAISE(
        base_, ParquetSource::Open(target_->AbsolutePath(file_), context_->encode_pool->budget()));
    plans_ = PlanFields(*base_, schema_, *target_, context_->options);
    for (size_t g = 0; g < file_.row_groups.size(); ++g) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      TargetRowGroup& group = file_.row_groups[g];
      const bool loads = loader != nullptr && group.replaced > 0;
      if (loads) {
        rows.reset();
        positions_of_.reset();
        ARROW_ASSIGN_OR_RAISE(rows, loader->Load(&group));
      }
      ARROW_RETURN_NOT_OK(RewriteRowGroup(g, rows));
      if (loads) std::vector<RowMatch>().swap(group.matches);
    }
    if (file_.gains_columns && adds_columns())
      ARROW_RETURN_NOT_OK(StartFile(file_.row_groups.size()));
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

  /// A column comes with its first chunk: a file without rows gets none.
  bool adds_columns() const {
    return file_.rows_left() > 0 && !plans_.empty() && plans_.back().added != nullptr;
  }

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
    for (int c = 0; c < base_->num_columns(); ++c) {
      ARROW_RETURN_NOT_OK(assembler_->CopyChunk(c));
    }
    ARROW_RETURN_NOT_OK(AddNulls(base_group, plans_.size()));
    return EndRowGroup(base_->row_group_rows(base_group));
  }

  /// Nulls for the new columns before plan `end`.
  arrow::Status AddNulls(int base_group, size_t end) {
    std::vector<uint8_t> unchanged;
    const std::vector<RowMatch> none;
    for (size_t p = 0; p < end; ++p) {
      if (!plans_[p].added) continue;
      ARROW_RETURN_NOT_OK(RecodeField(base_group, plans_[p], none, nullptr, &unchanged));
    }
    return arrow::Status::OK();
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
    const auto find =
        [this,
         &rows](std::span<const int64_t> ordinals) -> arrow::Result<std::shared_ptr<arrow::Array>> {
      // One column after another asks for the same rows, or for the first of them.
      if (positions_of_ != rows || ordinals.size() > positioned_.size() ||
          !std::equal(ordinals.begin(), ordinals.end(), positioned_.begin())) {
        positions_of_.reset();
        ARROW_ASSIGN_OR_RAISE(positions_, rows->Positions(ordinals, context_->encode_pool));
        positioned_.assign(ordinals.begin(), ordinals.end());
        positions_of_ = rows;
      }
      return positions_->Slice(0, static_cast<int64_t>(ordinals.size()));
    };
    const int column = plan.source_column;
    return {[this, &rows, column, find](
                std::span<const int64_t> ordinals) -> arrow::Result<std::shared_ptr<arrow::Array>> {
              if (column < 0) return std::shared_ptr<arrow::Array>();
              ARROW_ASSIGN_OR_RAISE(const auto positions, find(ordinals));
              return rows->TakeAt(column, positions, context_->encode_pool);
            },
            [&rows, column, find](std::span<const int64_t> ordinals,
                                  int64_t bytes) -> arrow::Result<int64_t> {
              if (column < 0) return static_cast<int64_t>(ordinals.size());
              ARROW_ASSIGN_OR_RAISE(const auto positions, find(ordinals));
              return rows->CountWithin(column, positions, bytes);
            }};
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
    std::vector<uint8_t> changed(edits.all().size(), 0);
    // The row group begins with the first column that changes; those before it are copied then.
    bool begun = false;
    int leaf = 0;
    size_t added = 0;  // plan of a new column; new ones before it stay null
    const auto begin = [&]() -> arrow::Result<ParquetAssembler*> {
      if (!begun) {
        ARROW_RETURN_NOT_OK(StartFile(static_cast<size_t>(base_group)));
        ARROW_RETURN_NOT_OK(assembler_->BeginRowGroup(base_group));
        begun = true;
        for (int c = 0; c < leaf; ++c) ARROW_RETURN_NOT_OK(assembler_->CopyChunk(c));
        ARROW_RETURN_NOT_OK(AddNulls(base_group, added));
      }
      return assembler_.get();
    };
    for (const FieldPlan& plan : plans_) {
      added = plan.added ? static_cast<size_t>(&plan - plans_.data()) : 0;
      leaf = plan.added ? base_->num_columns() : plan.leaf;
      bool differs = false;
      // Where rows go away, every column changes.
      const auto& column_edits = plan.replace ? edits.all() : edits.removals;
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
      if (changed[i] != 0) changed_->Set(edits.all()[i].ordinal);
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
    ARROW_ASSIGN_OR_RAISE(const ListedPages pages, ListPages(chunk, context_->encode_pool));
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

arrow::Result<RewrittenFile> RewriteFile(Target* target, size_t file, RowSource* source,
                                         Storage* storage, Commit* commit, RowBitmap* changed,
                                         std::shared_ptr<const RowSet> rows, GroupLoader* loader,
                                         RunContext* context) {
  return FileRewriter(target, file, source, storage, commit, changed, context)
      .Run(std::move(rows), loader);
}

}  // namespace floodwall

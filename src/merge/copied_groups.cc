#include "merge/copied_groups.h"

#include <algorithm>

#include "dataset/chunk_pages.h"
#include "dataset/value_order.h"
#include "floodwall/bytes.h"
#include "merge/page_patcher.h"
#include "merge/plain_values.h"

namespace floodwall {
namespace {

/// Smaller row groups are joined by encoding them, unless they are all there is.
constexpr int64_t kLeastRows = int64_t{64} * 1024;
/// New files have pages of a mebibyte, and so has what is copied into them, about.
constexpr int64_t kMostPageBytes = 2 * kMiB;
constexpr int64_t kMostFooterBytes = 2 * kMiB;
constexpr int kMostColumns = 1000;

/// Whether the file's columns are those of the style.
bool HasColumns(const ParquetSource& file, const arrow::Schema& types, const FileStyle& style) {
  const parquet::schema::GroupNode& root = *file.schema().group_node();
  const auto fields = style.schema->num_fields();
  if (root.field_count() != fields || file.num_columns() != fields ||
      style.stored->field_count() != fields || fields > kMostColumns) {
    return false;
  }
  for (int c = 0; c < fields; ++c) {
    // The same bytes may be other values: of a duration, or of a whole number.
    if (!root.field(c)->is_primitive() || !root.field(c)->Equals(style.stored->field(c).get()) ||
        types.field(c)->name() != style.schema->field(c)->name() ||
        !PlainType(types.field(c)->type())->Equals(*PlainType(style.schema->field(c)->type()))) {
      return false;
    }
  }
  return true;
}

/// Whether a chunk looks like one of a new file.
arrow::Result<bool> CanCopy(const BaseChunk& chunk, const ChunkPages& pages,
                            const FileStyle& style) {
  if (chunk.compression != style.properties->compression(chunk.descr->path()) ||
      (style.page_index && !chunk.file->has_page_index(chunk.row_group, chunk.column)) ||
      (ValueOrder(chunk.descr).known() && !chunk.trusted_statistics)) {
    return false;
  }
  const int64_t dictionary = pages.dictionary ? pages.dictionary->uncompressed_bytes : 0;
  const int64_t compressed = pages.dictionary ? pages.dictionary->compressed_bytes : 0;
  return PagePatcher::CanPatch(chunk, pages) && pages.num_values == chunk.num_rows &&
         std::max({dictionary, compressed, pages.max_uncompressed_bytes,
                   pages.max_compressed_bytes}) <= kMostPageBytes;
}

arrow::Status CheckPages(const BaseChunk& chunk, PageLoader* loader) {
  ARROW_RETURN_NOT_OK(loader->Open(chunk));
  ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, SumUpPages(chunk, [&](const PageEntry& page) {
                          return loader->Load(page).status();
                        }));
  return pages.dictionary ? loader->Load(*pages.dictionary).status() : arrow::Status::OK();
}

}  // namespace

arrow::Result<std::vector<SourceRowGroup>> FindCopies(const RowSource& source,
                                                      const RowBitmap& wanted, int64_t count,
                                                      const FileStyle& style, int64_t most_rows,
                                                      RunContext* context) {
  std::vector<SourceRowGroup> none;
  std::vector<SourceRowGroup> groups;
  int64_t rows = 0;
  for (const SourceRowGroup& group : source.RowGroups()) {
    const int64_t end = group.first_ordinal + group.num_rows;
    const int64_t found = wanted.CountRange(group.first_ordinal, end);
    if (found == 0) continue;
    if (found != group.num_rows || found > most_rows) return none;
    groups.push_back(group);
    rows += found;
  }
  if (groups.empty() || rows != count) return none;
  for (size_t i = 0; i < groups.size(); ++i) {
    // The last row group of a file is what the others left.
    const bool rest = i > 0 && groups[i - 1].file == groups[i].file &&
                      (i + 1 == groups.size() || groups[i + 1].file != groups[i].file);
    if (groups[i].num_rows < std::min(kLeastRows, count) && !rest) return none;
  }
  const ParquetSource* known = nullptr;
  PageLoader loader(context->encode_pool);
  for (const bool checking : {false, true}) {
    for (const SourceRowGroup& group : groups) {
      if (group.file.get() != known && !checking) {
        known = group.file.get();
        if (!HasColumns(*known, *source.schema(), style)) return none;
        ARROW_ASSIGN_OR_RAISE(const int64_t footer, ParquetAssembler::Need(*known));
        if (footer > kMostFooterBytes) return none;
      }
      for (int c = 0; c < group.file->num_columns(); ++c) {
        ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
        ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(group.file, group.row_group, c));
        if (checking) {
          ARROW_RETURN_NOT_OK(CheckPages(chunk, &loader));
          continue;
        }
        ARROW_ASSIGN_OR_RAISE(const ChunkPages pages, SumUpPages(chunk));
        ARROW_ASSIGN_OR_RAISE(const bool can, CanCopy(chunk, pages, style));
        if (!can) return none;
      }
    }
  }
  return groups;
}

arrow::Result<AssembledFile> CopyGroups(const std::vector<SourceRowGroup>& groups,
                                        const FileStyle& style, std::unique_ptr<StagedFile> staged,
                                        RunContext* context) {
  ARROW_ASSIGN_OR_RAISE(
      auto assembler,
      ParquetAssembler::Make(std::move(staged), groups.front().file, context->encode_pool));
  ARROW_ASSIGN_OR_RAISE(const auto metadata, style.Metadata(context->encode_pool));
  ARROW_RETURN_NOT_OK(assembler->SetMetadata(*metadata));
  for (const SourceRowGroup& group : groups) {
    ARROW_RETURN_NOT_OK(context->progress.CheckCancelled());
    ARROW_RETURN_NOT_OK(assembler->CopyRowGroup(group.row_group));
    context->progress.Advance(0, group.num_rows);
  }
  return assembler->Finish();
}

}  // namespace floodwall

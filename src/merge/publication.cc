#include "merge/publication.h"

#include <algorithm>

#include "dataset/journal.h"
#include "merge/recorded_result.h"

namespace floodwall {

arrow::Status PublishFiles(const Target& target, const std::vector<RewrittenFile>& rewritten,
                           const std::vector<InsertedFile>& inserted, const MergeOptions& options,
                           Commit* commit, MergeResult* result) {
  std::vector<const RewrittenFile*> change(target.files().size(), nullptr);
  for (const RewrittenFile& file : rewritten) {
    if (file.changed || file.removed) change[file.file] = &file;
  }
  bool any = false;
  std::vector<DatasetFile> expected;
  for (size_t f = 0; f < target.files().size(); ++f) {
    const TargetFile& file = target.files()[f];
    expected.push_back(file.file);
    MergeFileMetadata out{target.AbsolutePath(file), file.num_rows, "preserved",
                          file.file.version.size_bytes};
    if (change[f] != nullptr && change[f]->removed) {
      commit->Remove(file.file.relative_path);
      out = {out.path, 0, "deleted", 0};
      any = true;
    } else if (change[f] != nullptr) {
      const AssembledFile& staged = change[f]->assembled;
      ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(staged.staged_path));
      commit->Put({staged.staged_path, file.file.relative_path, staged.size_bytes, checksum});
      out = {out.path, staged.num_rows, "rewritten", staged.size_bytes};
      any = true;
    }
    result->target_count_after += out.row_count;
    result->files.push_back(std::move(out));
  }
  for (const InsertedFile& file : inserted) {
    ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(file.staged_path));
    commit->Put({file.staged_path, file.relative_path, file.size_bytes, checksum});
    result->files.push_back({target.listing().AbsolutePath(file.relative_path), file.num_rows,
                             "inserted", file.size_bytes});
    result->target_count_after += file.num_rows;
    any = true;
  }
  if (result->target_count_before + result->inserted - result->deleted !=
      result->target_count_after) {
    return arrow::Status::UnknownError(
        "row counts do not add up, nothing was published: ", result->target_count_before, " + ",
        result->inserted, " - ", result->deleted, " != ", result->target_count_after);
  }
  std::sort(result->files.begin(), result->files.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  if (!options.idempotency_token.empty()) {
    commit->Record(RecordToken(options, target.listing()),
                   PrintResult(*result, options, target.listing().root));
    any = true;
  }
  return any ? commit->Publish(expected) : arrow::Status::OK();
}

}  // namespace floodwall

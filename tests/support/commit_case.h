#pragma once

#include <map>
#include <memory>
#include <string>

#include "dataset/commit.h"
#include "dataset/commit_records.h"
#include "dataset/journal.h"
#include "gtest/gtest.h"
#include "support/temporary_directory.h"

namespace floodwall::testing {

using Contents = std::map<std::string, std::string>;

/// Text with the end of a Parquet file, so that it has a footer checksum.
inline std::string FileText(const std::string& text) {
  std::string out = text;
  const auto length = static_cast<uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return out + "PAR1";
}

/// One commit: what is there before and after, and by which kinds of change.
struct CommitCase {
  const char* name;
  Contents before;
  Contents after;
};

/// Replaced, added in a new directory, kept and removed files at once.
inline const CommitCase& Everything() {
  static const CommitCase instance{"Everything",
                                   {{"a.parquet", FileText("old a")},
                                    {"b.parquet", FileText("old b")},
                                    {"gone.parquet", FileText("old gone")},
                                    {"x=0/kept.parquet", FileText("kept")},
                                    {"_notes/read.me", "not data"},
                                    {".marker", ""}},
                                   {{"a.parquet", FileText("new a")},
                                    {"b.parquet", FileText("new b")},
                                    {"x=0/kept.parquet", FileText("kept")},
                                    {"x=1/y=2/c.parquet", FileText("new c")},
                                    {"_notes/read.me", "not data"},
                                    {".marker", ""}}};
  return instance;
}

inline const char kCommitToken[] = "job 7";

/// Whether the commit left its record.
inline bool IsRecorded(const std::string& root) {
  const auto record = CommitRecords::Find(root, kCommitToken).ValueOrDie();
  EXPECT_TRUE(!record || *record == "what was done\n");
  return record.has_value();
}

/// The files without those below `_floodwall`, where none may end in ".parquet".
inline Contents FilesOf(const Contents& all, const std::string& below) {
  Contents out;
  for (const auto& [name, text] : all) {
    if (name.rfind(below + "/", 0) != 0) continue;
    const std::string relative = name.substr(below.size() + 1);
    if (relative.rfind("_floodwall/", 0) != 0) {
      out[relative] = text;
    } else {
      EXPECT_FALSE(relative.ends_with(".parquet")) << relative;
    }
  }
  return out;
}

/// A dataset in a directory of its own, so that what a commit leaves beside it is seen.
class CommitDataset {
 public:
  explicit CommitDataset(const CommitCase& commit_case) : case_(commit_case) {
    for (const auto& [name, text] : case_.before) outer_.Write("set/" + name, text);
  }

  std::string root() const { return outer_.path() + "/set"; }
  const TemporaryDirectory& outer() const { return outer_; }
  Contents Files() const { return FilesOf(outer_.Contents(), "set"); }
  /// Nothing stands beside the dataset.
  bool IsAlone() const {
    const std::filesystem::directory_iterator entries(outer_.path());
    return std::distance(begin(entries), end(entries)) == 1;
  }

  arrow::Status CommitNew(Storage* storage, Snapshot snapshot) const {
    ARROW_ASSIGN_OR_RAISE(const DatasetListing listing, ListDataset(root()));
    ARROW_ASSIGN_OR_RAISE(auto lock, DatasetLock::Acquire(storage, root()));
    ARROW_ASSIGN_OR_RAISE(auto commit, Commit::Begin(storage, root(), snapshot));
    for (const auto& [name, text] : case_.after) {
      const auto old = case_.before.find(name);
      if (old != case_.before.end() && old->second == text) continue;
      ARROW_ASSIGN_OR_RAISE(auto file, storage->CreateFile(commit->StagePath(), 0644));
      ARROW_RETURN_NOT_OK(file->Write(text.data(), static_cast<int64_t>(text.size())));
      ARROW_RETURN_NOT_OK(file->Sync());
      ARROW_RETURN_NOT_OK(file->Close());
      ARROW_ASSIGN_OR_RAISE(const uint64_t checksum, FooterChecksum(file->path()));
      commit->Put({file->path(), name, file->size(), checksum});
    }
    for (const auto& [name, text] : case_.before) {
      if (case_.after.count(name) == 0) commit->Remove(name);
    }
    commit->Record(kCommitToken, "what was done\n");
    return commit->Publish(listing.files);
  }

 private:
  const CommitCase& case_;
  TemporaryDirectory outer_;
};

}  // namespace floodwall::testing

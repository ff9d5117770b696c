#include "merge/recorded_result.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "dataset/commit_records.h"
#include "dataset/journal.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

struct Figure {
  const char* name;
  int64_t MergeResult::* member;
};

constexpr std::array kFigures = {
    Figure{"source_count", &MergeResult::source_count},
    Figure{"target_count_before", &MergeResult::target_count_before},
    Figure{"target_count_after", &MergeResult::target_count_after},
    Figure{"inserted", &MergeResult::inserted},
    Figure{"updated", &MergeResult::updated},
    Figure{"unchanged", &MergeResult::unchanged},
    Figure{"deleted", &MergeResult::deleted},
    Figure{"duplicates_dropped", &MergeResult::duplicates_dropped},
    Figure{"limit_bytes", &MergeResult::limit_bytes},
    Figure{"peak_memory_bytes", &MergeResult::peak_memory_bytes},
    Figure{"bytes_read", &MergeResult::bytes_read},
    Figure{"bytes_written", &MergeResult::bytes_written},
    Figure{"bytes_copied", &MergeResult::bytes_copied},
    Figure{"bytes_encoded", &MergeResult::bytes_encoded},
    Figure{"bytes_spilled", &MergeResult::bytes_spilled},
};

/// What must be the same when a token comes again.
std::string Purpose(MergeStrategy strategy, const MergeOptions& options) {
  std::string out = std::to_string(static_cast<int>(strategy));
  for (const std::string& name : options.key_columns) out += " " + EncodeWord(name);
  return out;
}

}  // namespace

std::string RecordToken(const MergeOptions& options, const DatasetListing& listing) {
  std::string token = options.idempotency_token;
  if (listing.single_file && !listing.files.empty()) {
    token += '\0';
    token += listing.files.front().relative_path;
  }
  return token;
}

std::string PrintResult(const MergeResult& result, const MergeOptions& options,
                        const std::string& root) {
  std::ostringstream out;
  out.precision(17);
  out << "purpose " << Purpose(result.strategy, options) << '\n';
  for (const Figure& figure : kFigures) {
    out << figure.name << ' ' << result.*figure.member << '\n';
  }
  out << "threads " << result.threads << '\n';
  for (const auto& [phase, seconds] : result.phase_seconds) {
    out << "phase " << phase << ' ' << seconds << '\n';
  }
  for (const MergeFileMetadata& file : result.files) {
    // Relative, for a dataset that is moved afterwards.
    out << "file " << file.operation << ' ' << file.row_count << ' ' << file.size_bytes << ' '
        << EncodeWord(file.path.substr(root.size() + 1)) << '\n';
  }
  out << "end " << result.elapsed_s << '\n';
  return out.str();
}

namespace {

/// False: the text is not one of PrintResult's.
bool ParseResult(const std::string& text, const DatasetListing& listing, std::string* purpose,
                 MergeResult* result) {
  std::istringstream lines(text);
  std::string line;
  bool ended = false;
  while (std::getline(lines, line)) {
    if (ended) return false;
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name == "purpose") {
      std::getline(words >> std::ws, *purpose);
    } else if (name == "threads") {
      words >> result->threads;
    } else if (name == "phase") {
      auto& [phase, seconds] = result->phase_seconds.emplace_back();
      words >> phase >> seconds;
    } else if (name == "file") {
      MergeFileMetadata& file = result->files.emplace_back();
      std::string path;
      words >> file.operation >> file.row_count >> file.size_bytes >> path;
      if (!DecodeWord(path, &file.path)) return false;
      file.path = listing.AbsolutePath(file.path);
    } else if (name == "end") {
      words >> result->elapsed_s;
      ended = true;
    } else {
      const auto* figure = std::find_if(kFigures.begin(), kFigures.end(),
                                        [&](const Figure& known) { return known.name == name; });
      if (figure == kFigures.end()) return false;
      words >> result->*figure->member;
    }
    if (words.fail()) return false;
  }
  return ended && !purpose->empty();
}

}  // namespace

arrow::Result<std::optional<MergeResult>> FindResult(const MergeOptions& options,
                                                     MergeStrategy strategy,
                                                     const DatasetListing& listing) {
  if (options.idempotency_token.empty()) return std::nullopt;
  ARROW_ASSIGN_OR_RAISE(const auto text,
                        CommitRecords::Find(listing.root, RecordToken(options, listing)));
  if (!text) return std::nullopt;
  MergeResult result;
  std::string purpose;
  if (!ParseResult(*text, listing, &purpose, &result)) {
    return MakeError(ErrorKind::kCommit, "the recorded result of idempotency_token '" +
                                             options.idempotency_token + "' cannot be read in '" +
                                             listing.root + "/_floodwall/results'");
  }
  if (purpose != Purpose(strategy, options)) {
    return MakeError(ErrorKind::kInvalidMerge,
                     "idempotency_token '" + options.idempotency_token +
                         "' was used for a merge with another strategy or other key_columns; "
                         "every merge needs a token of its own");
  }
  result.strategy = strategy;
  result.already_committed = true;
  return result;
}

}  // namespace floodwall

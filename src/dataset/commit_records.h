#pragma once

/// What a commit leaves behind about itself under a token of its caller's, so that the same work is
/// not done twice: `_floodwall/results/<hash of the token>`.
///
/// The journal carries the text, and it is written between the commit point and the end of the
/// publication: whoever finds the commit complete finds its record.
///
/// Threading: WriteRecord under the dataset's lock, FindRecord from anywhere. Errors: kCommit.
/// Lifetime: the newest kKept records are kept.

#include <optional>
#include <string>

#include "arrow/result.h"
#include "dataset/storage.h"

namespace floodwall {

struct CommitRecords {
  static constexpr size_t kKept = 1000;

  /// Durable when it returns; may be repeated.
  static arrow::Status Write(Storage* storage, const std::string& root, const std::string& token,
                             const std::string& text);
  /// The text of a commit with this token, if there is one.
  static arrow::Result<std::optional<std::string>> Find(const std::string& root,
                                                        const std::string& token);
  /// Removes the oldest ones beyond kKept, as far as it can.
  static void Prune(Storage* storage, const std::string& root);
};

}  // namespace floodwall

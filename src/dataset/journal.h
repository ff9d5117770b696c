#pragma once

/// The text that says what a commit publishes: one line a change, with its own checksum.
///
/// Format, version 1:
///   floodwall-journal 1
///   token <token>
///   put <size> <footer checksum, hex> <staged name> <relative path>
///   remove <relative path>
///   record <token of the caller> <text>            (at most one)
///   exchange                                       (at most one: the commit was one, see
///   exchange.h) keep <relative path>                           (a file that both versions have)
///   end <XXH3-64 of everything before this line, hex>
/// Names and paths are percent-encoded, so any byte may occur in them.
///
/// Threading: values. Errors: kCommit for a text that is torn, of another version, or that
/// names a path outside the dataset: never a guess. Lifetime: values.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arrow/result.h"

namespace floodwall {

struct JournalPut {
  std::string staged_name;    ///< below the stage directory
  std::string relative_path;  ///< below the root
  int64_t size_bytes = 0;
  uint64_t checksum = 0;
};

struct Journal {
  std::string token;
  std::vector<JournalPut> puts;
  std::vector<std::string> removes;
  std::string record_token;  ///< empty: nothing is recorded
  std::string record;
  bool exchange = false;
  std::vector<std::string> keeps;  ///< with exchange: every file that stays, data or not

  std::string Serialize() const;
  /// `where` names the text in errors.
  static arrow::Result<Journal> Parse(std::string_view text, const std::string& where);
};

/// Any bytes as one word of printable characters, and back.
std::string EncodeWord(std::string_view text);
bool DecodeWord(std::string_view word, std::string* text);

/// XXH3-64 of the end of a Parquet file: footer, length and magic.
arrow::Result<uint64_t> FooterChecksum(const std::string& path);

}  // namespace floodwall

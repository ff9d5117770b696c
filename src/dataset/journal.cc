#include "dataset/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr std::string_view kHeader = "floodwall-journal 1";

template <typename T>
bool ParseNumber(std::string_view text, int base, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

/// A path that stays below the directory it is resolved against.
bool IsInside(const std::string& path) {
  if (path.empty() || path[0] == '/' || path.find('\0') != std::string::npos) return false;
  size_t start = 0;
  while (start <= path.size()) {
    const size_t slash = std::min(path.find('/', start), path.size());
    const std::string_view part(path.data() + start, slash - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = slash + 1;
  }
  return true;
}

std::string Hex(uint64_t value) {
  char buffer[17];
  std::snprintf(buffer, sizeof(buffer), "%016llx", static_cast<unsigned long long>(value));
  return buffer;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> out;
  size_t start = 0;
  while (start <= line.size()) {
    const size_t space = std::min(line.find(' ', start), line.size());
    out.push_back(line.substr(start, space - start));
    start = space + 1;
  }
  return out;
}

}  // namespace

std::string EncodeWord(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == '%' || byte >= 0x7f) {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

bool DecodeWord(std::string_view word, std::string* text) {
  text->clear();
  for (size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '%') {
      *text += word[i];
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= word.size()) return false;
    if (!ParseNumber(word.substr(i + 1, 2), 16, &byte)) return false;
    *text += static_cast<char>(byte);
    i += 2;
  }
  return !text->empty();
}

std::string Journal::Serialize() const {
  std::string out(kHeader);
  out += "\ntoken " + EncodeWord(token) + "\n";
  for (const JournalPut& put : puts) {
    out += "put " + std::to_string(put.size_bytes) + " " + Hex(put.checksum) + " " +
           EncodeWord(put.staged_name) + " " + EncodeWord(put.relative_path) + "\n";
  }
  for (const std::string& path : removes) out += "remove " + EncodeWord(path) + "\n";
  if (!record_token.empty()) {
    out += "record " + EncodeWord(record_token) + " " + EncodeWord(record) + "\n";
  }
  if (exchange) out += "exchange\n";
  for (const std::string& path : keeps) out += "keep " + EncodeWord(path) + "\n";
  return out + "end " + Hex(XXH3_64bits(out.data(), out.size())) + "\n";
}

arrow::Result<Journal> Journal::Parse(std::string_view text, const std::string& where) {
  const auto bad = [&](const std::string& why) {
    return MakeError(ErrorKind::kCommit, "the journal cannot be read (" + why + "): '" + where +
                                             "'; the dataset's files are intact, old or new");
  };
  Journal journal;
  bool ended = false;
  size_t start = 0;
  for (int line_number = 0; start < text.size(); ++line_number) {
    const size_t end = text.find('\n', start);
    if (end == std::string_view::npos || ended) return bad("torn");
    const std::string_view line = text.substr(start, end - start);
    const auto words = Words(line);
    if (line_number == 0) {
      if (line != kHeader) return bad("unknown version");
    } else if (words[0] == "token" && words.size() == 2) {
      if (!DecodeWord(words[1], &journal.token)) return bad("token");
    } else if (words[0] == "put" && words.size() == 5) {
      JournalPut put;
      if (!ParseNumber(words[1], 10, &put.size_bytes) ||
          !ParseNumber(words[2], 16, &put.checksum) || !DecodeWord(words[3], &put.staged_name) ||
          !DecodeWord(words[4], &put.relative_path) || !IsInside(put.staged_name) ||
          !IsInside(put.relative_path)) {
        return bad("line " + std::to_string(line_number + 1));
      }
      journal.puts.push_back(std::move(put));
    } else if (words[0] == "exchange" && words.size() == 1) {
      journal.exchange = true;
    } else if ((words[0] == "remove" || words[0] == "keep") && words.size() == 2) {
      std::string path;
      if (!DecodeWord(words[1], &path) || !IsInside(path)) {
        return bad("line " + std::to_string(line_number + 1));
      }
      (words[0] == "keep" ? journal.keeps : journal.removes).push_back(std::move(path));
    } else if (words[0] == "record" && words.size() == 3 && journal.record_token.empty()) {
      if (!DecodeWord(words[1], &journal.record_token) || !DecodeWord(words[2], &journal.record)) {
        return bad("line " + std::to_string(line_number + 1));
      }
    } else if (words[0] == "end" && words.size() == 2) {
      uint64_t checksum = 0;
      if (!ParseNumber(words[1], 16, &checksum) || checksum != XXH3_64bits(text.data(), start)) {
        return bad("checksum");
      }
      ended = true;
    } else {
      return bad("line " + std::to_string(line_number + 1));
    }
    start = end + 1;
  }
  if (!ended || journal.token.empty() || !IsInside(journal.token)) return bad("torn");
  return journal;
}

arrow::Result<uint64_t> FooterChecksum(const std::string& path) {
  const auto failed = [&](int error) {
    return MakeOsError(ErrorKind::kCommit, error, "cannot read the footer of", path);
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(errno);
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat info{};
  if (::fstat(fd, &info) != 0) return failed(errno);
  const auto read = [&](char* out, size_t length, int64_t offset) {
    while (length > 0) {
      const ssize_t n = ::pread(fd, out, length, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return n == 0 ? EIO : errno;
      out += n;
      offset += n;
      length -= static_cast<size_t>(n);
    }
    return 0;
  };
  uint32_t footer_length = 0;
  if (info.st_size < 12) return failed(EINVAL);
  char tail[8];
  if (const int error = read(tail, sizeof(tail), info.st_size - 8)) return failed(error);
  std::memcpy(&footer_length, tail, sizeof(footer_length));
  const int64_t total = static_cast<int64_t>(footer_length) + 8;
  if (total > info.st_size) return failed(EINVAL);
  std::string bytes(static_cast<size_t>(total), '\0');
  if (const int error = read(bytes.data(), bytes.size(), info.st_size - total))
    return failed(error);
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace floodwall

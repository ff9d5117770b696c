#pragma once

/// A small kernel file that stays open, so that reading it again costs one pread and works when
/// the process has run out of descriptors.
///
/// Opens lazily. Opens again after a fork (/proc/self of the parent would be read otherwise), when
/// the descriptor does not work any more, and when somebody closed it and its number now belongs
/// to another file, which is looked at about once a second. A file that cannot be opened is tried
/// again after a second.
///
/// Threading: not safe, the owner locks. Errors: as errno in the result, never thrown.
/// Units: bytes. Lifetime: owns the descriptor, unless it finds that it is not its own any more.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "probe/kernel_calls.h"

namespace floodwall {

class KeptFile {
 public:
  enum class Content {
    kOneText,  ///< always the same number of lines: known once, its end is not asked for any more
    kListing,  ///< many records: a read may end after any of them
  };
  KeptFile(KernelCalls* calls, std::string path, Content content = Content::kOneText)
      : calls_(calls), path_(std::move(path)), content_(content) {}
  KeptFile(KeptFile&& other) noexcept;
  KeptFile& operator=(KeptFile&&) = delete;
  ~KeptFile();

  struct Text {
    std::string_view text;  ///< complete lines, in the buffer that was given
    int error = 0;
  };
  /// The file's text from its start. A text longer than the buffer is cut after its last line.
  Text Read(std::span<char> buffer);

  const std::string& path() const { return path_; }

 private:
  int Reopen(int64_t now_ns);
  bool StillOurs();
  void Close();
  Text ReadOpen(std::span<char> buffer);

  KernelCalls* calls_;
  std::string path_;
  Content content_;
  int fd_ = -1;
  KernelCalls::FileId id_;
  uint64_t epoch_ = 0;
  int open_error_ = 0;
  ptrdiff_t lines_ = 0;     ///< of the whole text, 0 until its end has been seen
  size_t bytes_ = 0;        ///< of the whole text when it was read last
  int64_t checked_ns_ = 0;  ///< when the descriptor was last opened, tried or compared
};

/// The whole text of a file that may be far larger than a buffer on the stack, such as mountinfo
/// of a host with many containers; empty with `*error` set when it cannot be read.
std::string ReadWholeFile(KernelCalls* calls, const std::string& path, int* error);

}  // namespace floodwall

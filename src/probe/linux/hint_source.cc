#include "probe/linux/hint_source.h"

#include <poll.h>
#include <unistd.h>

namespace floodwall {

HintSource::HintSource(int fd, short events, std::string name)
    : fd_(fd), events_(events), name_(std::move(name)) {
  KernelCalls::Native()->Identify(fd_, &id_);
}

HintSource::~HintSource() {
  if (IsOurs()) ::close(fd_);
}

bool HintSource::IsOurs() const {
  KernelCalls::FileId now;
  return KernelCalls::Native()->Identify(fd_, &now) == 0 && now == id_;
}

std::string DecodeBase64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return {};
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffffff;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xff);
    }
  }
  return out;
}

}  // namespace floodwall

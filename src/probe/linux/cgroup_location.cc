#include "probe/linux/cgroup_location.h"

#include <optional>

#include "probe/kernel_text.h"

namespace floodwall {
namespace {

struct Mount {
  std::string root;   ///< which directory of the hierarchy is mounted
  std::string point;  ///< where
  bool is_v2 = false;
  bool has_controller = false;  ///< v1: the controller looked for is on it
};

bool HasWord(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == word) return true;
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return false;
}

std::optional<Mount> ParseMount(std::string_view line, std::string_view controller) {
  for (int skipped = 0; skipped < 3; ++skipped) NextWord(&line);  // ids and device
  Mount mount;
  mount.root = UnescapeMountPath(NextWord(&line));
  mount.point = UnescapeMountPath(NextWord(&line));
  NextWord(&line);  // options of the mount
  std::string_view word;
  do {
    word = NextWord(&line);  // optional fields, until a single hyphen
  } while (!word.empty() && word != "-");
  const std::string_view type = NextWord(&line);
  if (type != "cgroup" && type != "cgroup2") return std::nullopt;
  NextWord(&line);  // what is mounted
  mount.is_v2 = type == "cgroup2";
  mount.has_controller = !mount.is_v2 && HasWord(NextWord(&line), controller);
  return mount;
}

/// The path of the process on the controller's v1 hierarchy, and on v2.
struct Paths {
  std::optional<std::string> v1;
  std::optional<std::string> v2;
};

Paths ParseCgroup(std::string_view text, std::string_view controller) {
  Paths out;
  while (!text.empty()) {
    // "4:memory:/kubepods/a:b": paths may hold colons, so only the first two count.
    const std::string_view line = NextLine(&text);
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string path(line.substr(second + 1));
    if (line.substr(0, first) == "0" && controllers.empty())
      out.v2 = std::move(path);
    else if (HasWord(controllers, controller))
      out.v1 = std::move(path);
  }
  return out;
}

/// `path` relative to the mounted part: "" for the mount point itself, nullopt when outside.
std::optional<std::string> Below(const Mount& mount, std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) return std::nullopt;
  if (path == "/.." || path.starts_with("/../")) return std::nullopt;
  std::string_view root = mount.root;
  if (root == "/") root = "";
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path[0] != '/') return std::nullopt;
  if (path == "/") path = "";
  return std::string(path);
}

struct Place {
  const Mount* mount = nullptr;
  std::string below;
  bool confident = false;
};

/// The mount that shows most of what lies above `path`; any mount rather than none.
Place Choose(const std::vector<Mount>& mounts, bool v2, const std::string& path) {
  Place best;
  for (const Mount& mount : mounts) {
    if (mount.is_v2 != v2 || (!v2 && !mount.has_controller)) continue;
    const auto below = Below(mount, path);
    const bool better =
        below.has_value() && (!best.confident || best.mount->root.size() > mount.root.size());
    if (best.mount == nullptr || better) best = {&mount, below.value_or(""), below.has_value()};
  }
  return best;
}

std::vector<std::string> Ancestry(const Place& place) {
  std::vector<std::string> out;
  std::string below = place.below;
  while (!below.empty()) {
    out.push_back(place.mount->point + below);
    below.resize(below.rfind('/'));
  }
  out.push_back(place.mount->point);
  return out;
}

}  // namespace

std::string UnescapeMountPath(std::string_view text) {
  std::string out;
  const auto octal = [&](size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '7';
  };
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && octal(at + 1) && octal(at + 2) && octal(at + 3)) {
      out += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 +
                               (text[at + 3] - '0'));
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

CgroupLocation LocateCgroup(std::string_view cgroup, std::string_view mountinfo,
                            std::string_view controller) {
  std::vector<Mount> mounts;
  while (!mountinfo.empty()) {
    if (auto mount = ParseMount(NextLine(&mountinfo), controller))
      mounts.push_back(*std::move(mount));
  }
  const Paths paths = ParseCgroup(cgroup, controller);
  CgroupLocation out;
  const Place v2 = paths.v2 ? Choose(mounts, true, *paths.v2) : Place{};
  const Place v1 = paths.v1 ? Choose(mounts, false, *paths.v1) : Place{};
  if (v2.mount != nullptr) out.pressure_directory = v2.mount->point + v2.below;
  const Place& place = v1.mount != nullptr ? v1 : v2;
  if (place.mount == nullptr) return out;
  out.version = v1.mount != nullptr ? CgroupVersion::kV1 : CgroupVersion::kV2;
  out.directories = Ancestry(place);
  out.confident = place.confident;
  out.has_hidden_ancestors = place.mount->root != "/";
  return out;
}

}  // namespace floodwall

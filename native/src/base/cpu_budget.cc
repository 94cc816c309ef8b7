#include "base/cpu_budget.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <thread>

namespace sterna {
namespace cpu {

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  text = trim(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// mountinfo writes a blank, a tab, a newline and a backslash as three octal digits.
std::string unescape_octal(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Files below /proc and /sys are small; what cannot be read is empty.
std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The cgroup's directory below its mount point. A container without a cgroup namespace sees the
// host's path, of which only the part below the mount's root exists here.
std::string below_mount(const Mount& mount, const std::string& path) {
  const std::string root = mount.root == "/" ? "" : mount.root;
  const bool inside = path.compare(0, root.size(), root) == 0 &&
                      (path.size() == root.size() || path[root.size()] == '/');
  std::string below = inside ? path.substr(root.size()) : "";
  while (!below.empty() && below.back() == '/') below.pop_back();
  return below;
}

std::optional<double> quota_at(const std::string& directory, bool v2) {
  if (v2) return parse_cpu_max(read_file(directory + "/cpu.max"));
  return parse_cfs(read_file(directory + "/cpu.cfs_quota_us"),
                   read_file(directory + "/cpu.cfs_period_us"));
}

}  // namespace

std::optional<double> parse_cfs(std::string_view quota, std::string_view period) {
  const auto q = parse_integer(quota);
  const auto p = parse_integer(period);
  if (!q || !p || *q <= 0 || *p <= 0) return std::nullopt;
  return static_cast<double>(*q) / static_cast<double>(*p);
}

std::optional<double> parse_cpu_max(std::string_view text) {
  const auto words = split(trim(text), ' ');
  if (words.size() != 2) return std::nullopt;
  return parse_cfs(words[0], words[1]);
}

std::vector<Membership> parse_memberships(std::string_view text) {
  std::vector<Membership> found;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (path.empty() || path.front() != '/') continue;
    if (line.substr(0, first) == "0" && controllers.empty()) {
      found.push_back({true, path});
    } else if (contains(split(controllers, ','), "cpu")) {
      found.push_back({false, path});
    }
  }
  return found;
}

std::vector<Mount> parse_mounts(std::string_view text) {
  std::vector<Mount> found;
  for (const std::string_view line : split(text, '\n')) {
    const auto words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 4) continue;
    const bool v2 = dash[1] == "cgroup2";
    const bool v1 = dash[1] == "cgroup" && contains(split(dash[3], ','), "cpu");
    if (v1 || v2) found.push_back({v2, unescape_octal(words[3]), unescape_octal(words[4])});
  }
  return found;
}

std::optional<double> cgroup_quota(const std::string& root) {
  const auto mounts = parse_mounts(read_file(root + "/proc/self/mountinfo"));
  std::optional<double> tightest;
  for (const Membership& member : parse_memberships(read_file(root + "/proc/self/cgroup"))) {
    for (const Mount& mount : mounts) {
      if (mount.v2 != member.v2) continue;
      std::string below = below_mount(mount, member.path);
      while (true) {
        const auto quota = quota_at(root + mount.mount_point + below, mount.v2);
        if (quota && (!tightest || *quota < *tightest)) tightest = quota;
        if (below.empty()) break;
        below.resize(below.rfind('/'));
      }
    }
  }
  return tightest;
}

int affinity_cpus() {
  // The mask must be as large as the kernel's, which is unknown: grow until it fits.
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(capacity));
    if (mask == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    const int result = ::sched_getaffinity(0, bytes, mask);
    const int failure = errno;
    const int count = result == 0 ? CPU_COUNT_S(bytes, mask) : 0;
    CPU_FREE(mask);
    if (result == 0) return std::max(count, 1);
    if (failure != EINVAL) break;
  }
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

int combine(int affinity, std::optional<double> quota) {
  if (!quota || *quota >= affinity) return std::max(affinity, 1);
  return std::max(static_cast<int>(*quota), 1);
}

}  // namespace cpu

int cpu_budget() { return cpu::combine(cpu::affinity_cpus(), cpu::cgroup_quota("")); }

}  // namespace sterna

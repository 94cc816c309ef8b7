// How many CPUs this process may really use: a container's quota counts, not the host's cores.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sterna {

// The smaller of the affinity mask and the tightest cgroup quota, at least 1. Fractions of a CPU
// are dropped: one thread more than the quota makes every thread wait at the next barrier while
// the kernel throttles the group.
int cpu_budget();

// The parts of it, separate for tests.
namespace cpu {

// CPUs in the affinity mask of the calling thread; at least 1.
int affinity_cpus();

// The tightest CPU quota on the process's own cgroup and its ancestors (v2 cpu.max and v1
// cpu.cfs_quota_us), in CPUs; nothing when there is none. `root` is prepended to every path.
// Files that are missing or not understood set no limit.
std::optional<double> cgroup_quota(const std::string& root);

int combine(int affinity, std::optional<double> quota);

// "150000 100000" -> 1.5; "max 100000" and anything malformed -> nothing.
std::optional<double> parse_cpu_max(std::string_view text);
// v1: "150000", "100000" -> 1.5; a quota of -1 -> nothing.
std::optional<double> parse_cfs(std::string_view quota, std::string_view period);

// A line of /proc/self/cgroup that can carry a CPU quota: v2 ("0::/path") or v1 with the cpu
// controller ("4:cpu,cpuacct:/path").
struct Membership {
  bool v2 = false;
  std::string path;
};
std::vector<Membership> parse_memberships(std::string_view text);

// Where a CPU hierarchy is mounted, from /proc/self/mountinfo: `root` is the cgroup shown there.
struct Mount {
  bool v2 = false;
  std::string root;
  std::string mount_point;
};
std::vector<Mount> parse_mounts(std::string_view text);

}  // namespace cpu
}  // namespace sterna

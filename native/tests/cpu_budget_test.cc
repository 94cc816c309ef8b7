#include "base/cpu_budget.h"

#include <sched.h>

#include "check.h"
#include "format_support.h"

namespace sterna::test {
namespace {

// A pretended file system root with the files of /proc and /sys that matter.
class FakeRoot {
 public:
  void put(const std::string& path, const std::string& content) {
    const std::string full = dir_.path() + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    write_file(full, content);
  }
  double quota() const { return cpu::cgroup_quota(dir_.path()).value_or(-1.0); }

 private:
  TempDir dir_;
};

const char kV2Mount[] =
    "24 30 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const char kV1Mount[] =
    "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

TEST(reads_cpu_max) {
  CHECK_EQ(cpu::parse_cpu_max("150000 100000\n").value_or(-1), 1.5);
  CHECK_EQ(cpu::parse_cpu_max("1000 100000").value_or(-1), 0.01);
  for (const char* text : {"max 100000\n", "", "100000", "a b", "1 0", "-5 100", "1 2 3",
                           "99999999999999999999 100000"}) {
    CHECK(!cpu::parse_cpu_max(text).has_value());
  }
}

TEST(reads_cfs_quota) {
  CHECK_EQ(cpu::parse_cfs("250000\n", "100000\n").value_or(-1), 2.5);
  CHECK(!cpu::parse_cfs("-1\n", "100000\n").has_value());
  CHECK(!cpu::parse_cfs("", "").has_value());
  CHECK(!cpu::parse_cfs("100000", "0").has_value());
}

TEST(finds_the_groups_that_can_limit_cpu) {
  const auto found = cpu::parse_memberships(
      "12:cpuset:/a\n4:cpu,cpuacct:/docker/x\n2:memory:/b\n1:name=cpu:/c\n0::/system.slice/y\n"
      "garbage\n7:cpu\n0::\n");
  CHECK_EQ(found.size(), 2u);
  CHECK(!found[0].v2);
  CHECK_EQ(found[0].path, "/docker/x");
  CHECK(found[1].v2);
  CHECK_EQ(found[1].path, "/system.slice/y");
}

TEST(finds_where_the_hierarchies_are_mounted) {
  const auto found = cpu::parse_mounts(
      "1 2 0:3 / /proc rw - proc proc rw\n"
      "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,cpu\n"
      "5 6 0:7 /docker/x /with\\040blank rw master:1 shared:2 - cgroup2 none rw\n" +
      std::string(kV1Mount) + "short - line\n");
  CHECK_EQ(found.size(), 2u);
  CHECK(found[0].v2);
  CHECK_EQ(found[0].root, "/docker/x");
  CHECK_EQ(found[0].mount_point, "/with blank");
  CHECK(!found[1].v2);
  CHECK_EQ(found[1].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
}

TEST(the_tightest_ancestor_decides) {
  FakeRoot root;
  root.put("/proc/self/mountinfo", kV2Mount);
  root.put("/proc/self/cgroup", "0::/pod/container/worker\n");
  root.put("/sys/fs/cgroup/pod/container/worker/cpu.max", "max 100000\n");
  CHECK_EQ(root.quota(), -1.0);
  root.put("/sys/fs/cgroup/pod/container/cpu.max", "800000 100000\n");
  CHECK_EQ(root.quota(), 8.0);
  root.put("/sys/fs/cgroup/pod/cpu.max", "350000 100000\n");
  CHECK_EQ(root.quota(), 3.5);
  root.put("/sys/fs/cgroup/cpu.max", "900000 100000\n");
  CHECK_EQ(root.quota(), 3.5);
  root.put("/sys/fs/cgroup/other/cpu.max", "1000 100000\n");
  CHECK_EQ(root.quota(), 3.5);
}

TEST(a_namespaced_container_reads_the_mount_itself) {
  FakeRoot root;
  root.put("/proc/self/mountinfo", kV2Mount);
  root.put("/proc/self/cgroup", "0::/\n");
  root.put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  CHECK_EQ(root.quota(), 2.0);
}

TEST(a_host_path_is_taken_relative_to_the_mounted_root) {
  FakeRoot root;
  root.put("/proc/self/mountinfo",
           "30 29 0:26 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
  root.put("/proc/self/cgroup", "3:cpu:/docker/abc/inner\n");
  root.put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  root.put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(root.quota(), 4.0);
  root.put("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
  root.put("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "50000\n");
  CHECK_EQ(root.quota(), 2.0);
  // A path that only shares a prefix of letters is not below the mounted root.
  root.put("/proc/self/cgroup", "3:cpu:/docker/abcdef\n");
  CHECK_EQ(root.quota(), 4.0);
}

TEST(both_hierarchies_count) {
  FakeRoot root;
  root.put("/proc/self/mountinfo", std::string(kV2Mount) + kV1Mount);
  root.put("/proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/b\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  root.put("/sys/fs/cgroup/b/cpu.max", "500000 100000\n");
  CHECK_EQ(root.quota(), 3.0);
}

TEST(missing_files_set_no_limit) {
  const FakeRoot root;
  CHECK_EQ(root.quota(), -1.0);
}

TEST(combines_mask_and_quota) {
  CHECK_EQ(cpu::combine(8, std::nullopt), 8);
  CHECK_EQ(cpu::combine(8, 2.9), 2);
  CHECK_EQ(cpu::combine(8, 0.2), 1);
  CHECK_EQ(cpu::combine(2, 16.0), 2);
  CHECK_EQ(cpu::combine(8, 1e18), 8);
}

TEST(the_affinity_mask_counts) {
  cpu_set_t saved;
  CHECK_EQ(::sched_getaffinity(0, sizeof(saved), &saved), 0);
  CHECK_EQ(cpu::affinity_cpus(), CPU_COUNT(&saved));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &saved)) {
      CPU_SET(i, &one);
      break;
    }
  }
  CHECK_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  CHECK_EQ(cpu::affinity_cpus(), 1);
  CHECK_EQ(cpu_budget(), 1);
  CHECK_EQ(::sched_setaffinity(0, sizeof(saved), &saved), 0);
}

}  // namespace
}  // namespace sterna::test

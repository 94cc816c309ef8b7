#include "base/atomic_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"
#include "format_support.h"

namespace sterna::test {
namespace {

std::span<const std::uint8_t> bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// While it lives, no file can grow beyond `limit` bytes: what a full disk looks like from here.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t limit) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &saved_);
    const rlimit small{limit, saved_.rlim_max};
    CHECK_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &saved_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  sighandler_t handler_;
  rlimit saved_{};
};

TEST(appears_complete_on_commit) {
  const TempDir dir;
  AtomicFile file(dir / "out");
  file.allocate(10);
  file.write_at(6, bytes("cd"));
  file.write_at(0, bytes("ab"));
  CHECK(!std::filesystem::exists(dir / "out"));
  file.commit();
  CHECK_EQ(read_file(dir / "out"), std::string("ab\0\0\0\0cd\0\0", 10));
  CHECK_EQ(dir.file_count(), 1u);
}

TEST(replaces_an_older_file) {
  const TempDir dir;
  write_file(dir / "out", "old and longer");
  AtomicFile file(dir / "out");
  file.write_at(0, bytes("new"));
  CHECK_EQ(read_file(dir / "out"), "old and longer");
  file.commit();
  CHECK_EQ(read_file(dir / "out"), "new");
}

TEST(leaves_nothing_without_commit) {
  const TempDir dir;
  write_file(dir / "out", "old");
  {
    AtomicFile file(dir / "out");
    file.write_at(0, bytes("half"));
    CHECK_EQ(dir.file_count(), 2u);
  }
  CHECK_EQ(dir.file_count(), 1u);
  CHECK_EQ(read_file(dir / "out"), "old");
}

TEST(the_umask_decides_who_may_read) {
  const TempDir dir;
  const mode_t saved = ::umask(027);
  AtomicFile file(dir / "out");
  ::umask(saved);
  file.commit();
  struct stat status{};
  CHECK_EQ(::stat((dir / "out").c_str(), &status), 0);
  CHECK_EQ(status.st_mode & 0777, 0640u);
}

TEST(what_cannot_be_written_is_named) {
  const TempDir dir;
  CHECK_ERROR(AtomicFile(dir / "no/such/out"), ErrorCode::kIo, "No such file");
  CHECK_ERROR(AtomicFile(""), ErrorCode::kIo, "not a file name");
  CHECK_ERROR(AtomicFile(dir.path() + "/"), ErrorCode::kIo, "not a file name");
  std::filesystem::create_directory(dir / "taken");
  write_file(dir / "taken/file", "x");
  AtomicFile file(dir / "taken");
  CHECK_ERROR(file.commit(), ErrorCode::kIo, "rename");
}

TEST(a_full_disk_is_found_before_the_work) {
  const TempDir dir;
  {
    AtomicFile file(dir / "out");
    const FileSizeLimit limit(4096);
    CHECK_ERROR(file.allocate(1 << 20), ErrorCode::kIo, "free some space");
  }
  CHECK_EQ(dir.file_count(), 0u);
}

TEST(a_disk_that_fills_while_writing_is_named) {
  const TempDir dir;
  {
    AtomicFile file(dir / "out");
    const FileSizeLimit limit(4096);
    file.write_at(0, bytes("fits"));
    CHECK_ERROR(file.write_at(4000, bytes(std::string(200, 'x'))), ErrorCode::kIo,
                "free some space");
  }
  CHECK_EQ(dir.file_count(), 0u);
}

}  // namespace
}  // namespace sterna::test

#include "base/atomic_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

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

TEST(writes_join_across_huge_pages_in_any_order) {
  const std::size_t size = (std::size_t{5} << 20) + 123;
  std::string content(size, '\0');
  for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 7 + i / 4096);
  const TempDir dir;
  for (const std::size_t piece : {std::size_t{1} << 22, std::size_t{300000}, std::size_t{10007}}) {
    for (const bool backwards : {false, true}) {
      AtomicFile file(dir / "out");
      const std::size_t pieces = (size + piece - 1) / piece;
      for (std::size_t i = 0; i < pieces; ++i) {
        const std::size_t begin = (backwards ? pieces - 1 - i : i) * piece;
        file.write_at(begin, bytes(content).subspan(begin, std::min(piece, size - begin)));
      }
      file.write_at(size / 2, bytes("over"));  // the last word counts
      file.commit();
      std::string expected = content;
      expected.replace(size / 2, 4, "over");
      CHECK(read_file(dir / "out") == expected);
    }
  }
}

TEST(what_is_skipped_stays_as_it_was) {
  const TempDir dir;
  AtomicFile file(dir / "out");
  file.allocate(30);
  file.write_at(0, bytes("ab"));
  file.write_at(5, bytes("cd"));  // skips bytes that are zero
  file.write_at(20, bytes("uvwx"));
  file.write_at(10, bytes("ef"));  // goes back
  file.write_at(14, bytes("gh"));  // skips zeros, but before the end
  file.write_at(18, bytes("YZ"));
  file.write_at(23, bytes("!"));  // skips what was written
  file.commit();
  CHECK_EQ(read_file(dir / "out"),
           std::string("ab\0\0\0cd\0\0\0ef\0\0gh\0\0YZuvw!\0\0\0\0\0\0", 30));
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
    file.write_at(4000, bytes(std::string(200, 'x')));  // waits for its neighbours
    CHECK_ERROR(file.commit(), ErrorCode::kIo, "free some space");
  }
  CHECK_EQ(dir.file_count(), 0u);
}

}  // namespace
}  // namespace sterna::test

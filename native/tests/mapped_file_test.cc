#include "base/mapped_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "check.h"
#include "format_support.h"

namespace sterna::test {
namespace {

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(maps_the_whole_file_at_a_page_boundary) {
  const TempDir dir;
  const std::string content = std::string(5000, 'x') + "end";
  write_file(dir / "a", content);
  const MappedFile file = MappedFile::open(dir / "a");
  CHECK_EQ(text_of(file), content);
  CHECK_EQ(file.path(), dir / "a");
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(file.bytes().data()) % 4096, 0u);
}

TEST(maps_a_large_file_at_a_huge_page_boundary) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const TempDir dir;
  for (const std::size_t size :
       {kHugePage - 1, kHugePage, 2 * kHugePage + 4096, 3 * kHugePage + 1}) {
    std::string content(size, 'x');
    for (std::size_t i = 0; i < size; i += 1000)
      content[i] = static_cast<char>('a' + i / 1000 % 26);
    write_file(dir / "large", content);
    const MappedFile file = MappedFile::open(dir / "large");
    CHECK(text_of(file) == content);
    if (size >= kHugePage) {
      CHECK_EQ(reinterpret_cast<std::uintptr_t>(file.bytes().data()) % kHugePage, 0u);
    }
  }
}

TEST(moves_without_moving_the_bytes) {
  const TempDir dir;
  write_file(dir / "a", "first");
  write_file(dir / "b", "second");
  MappedFile a = MappedFile::open(dir / "a");
  const std::uint8_t* data = a.bytes().data();
  MappedFile moved = std::move(a);
  CHECK(moved.bytes().data() == data);
  CHECK(a.bytes().empty());  // NOLINT(bugprone-use-after-move)
  moved = MappedFile::open(dir / "b");
  CHECK_EQ(text_of(moved), "second");
  MappedFile& self = moved;
  moved = std::move(self);
  CHECK_EQ(text_of(moved), "second");
}

TEST(survives_replacement_by_rename) {
  const TempDir dir;
  write_file(dir / "a", "old content");
  const MappedFile file = MappedFile::open(dir / "a");
  write_file(dir / "b", "new");
  std::filesystem::rename(dir / "b", dir / "a");
  CHECK_EQ(text_of(file), "old content");
}

TEST(an_empty_file_has_no_bytes) {
  const TempDir dir;
  write_file(dir / "empty", "");
  const MappedFile file = MappedFile::open(dir / "empty");
  CHECK(file.bytes().empty());
  CHECK(MappedFile().bytes().empty());
}

TEST(what_is_not_a_file_is_refused) {
  const TempDir dir;
  CHECK_ERROR(MappedFile::open(dir / "missing"), ErrorCode::kIo, dir / "missing");
  CHECK_ERROR(MappedFile::open(""), ErrorCode::kIo, "No such file");
  CHECK_ERROR(MappedFile::open(dir.path()), ErrorCode::kIo, "is a directory");
  CHECK_ERROR(MappedFile::open("/dev/zero"), ErrorCode::kIo, "not a regular file");
  CHECK_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  CHECK_ERROR(MappedFile::open(dir / "fifo"), ErrorCode::kIo, "not a regular file");
  write_file(dir / "a", "x");
  CHECK_ERROR(MappedFile::open((dir / "a") + std::string("\0b", 2)), ErrorCode::kIo, "NUL");
}

TEST(a_file_without_permission_is_refused) {
  const TempDir dir;
  write_file(dir / "secret", "x");
  ::chmod((dir / "secret").c_str(), 0);
  ::chmod(dir.path().c_str(), 0755);
  const uid_t user = ::geteuid();
  if (user == 0) CHECK_EQ(::seteuid(65534), 0);  // root may read everything
  CHECK_ERROR(MappedFile::open(dir / "secret"), ErrorCode::kIo, "Permission denied");
  if (user == 0) CHECK_EQ(::seteuid(user), 0);
}

}  // namespace
}  // namespace sterna::test

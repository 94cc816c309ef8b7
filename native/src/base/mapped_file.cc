#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

#include "base/quoted.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr std::size_t kPathLimit = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kIo, "cannot read " + in_quotes(path, kPathLimit) + ": " + why, path);
}

[[noreturn]] void refuse_errno(const std::string& path) {
  refuse(path, std::generic_category().message(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Address space for `size` bytes from the boundary of a huge page on, or null.
void* reserve_aligned(std::size_t size) {
  if (size > std::numeric_limits<std::size_t>::max() - kHugePage) return nullptr;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const reserved = ::mmap(nullptr, size + kHugePage, PROT_NONE, kFlags, -1, 0);
  if (reserved == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::uint8_t*>(reserved);
  const std::size_t skip = -reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  if (skip > 0) ::munmap(begin, skip);
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t pages = (size + page - 1) / page * page;
  if (pages < size + kHugePage - skip)
    ::munmap(begin + skip + pages, size + kHugePage - skip - pages);
  return begin + skip;
}

}  // namespace

MappedFile MappedFile::open(const std::string& path) {
  // A path with a NUL would silently name another file.
  if (path.find('\0') != std::string::npos) refuse(path, "the path contains a NUL byte");
  // O_NONBLOCK: opening a fifo that nobody writes to would otherwise wait for ever.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) refuse_errno(path);
  const Descriptor descriptor(fd);
  struct stat status{};
  if (::fstat(fd, &status) != 0) refuse_errno(path);
  if (S_ISDIR(status.st_mode)) refuse(path, "it is a directory, a file was expected");
  if (!S_ISREG(status.st_mode)) refuse(path, "it is not a regular file");
  if (status.st_size == 0) return MappedFile(nullptr, 0, path);
  if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max()) {
    refuse(path, "it is larger than the address space");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const at = size < kHugePage ? nullptr : reserve_aligned(size);
  const int flags = MAP_PRIVATE | (at != nullptr ? MAP_FIXED : 0);
  void* data = ::mmap(at, size, PROT_READ, flags, descriptor.get(), 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    if (at != nullptr) ::munmap(at, size);
    errno = error;
    refuse_errno(path);
  }
  ::madvise(data, size, MADV_HUGEPAGE);  // advice: a refusal changes nothing
  return MappedFile(static_cast<const std::uint8_t*>(data), size, path);
}

MappedFile::MappedFile(const std::uint8_t* data, std::size_t size, std::string path)
    : data_(data), size_(size), path_(std::move(path)) {}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    path_ = std::move(other.path_);
  }
  return *this;
}

void MappedFile::unmap() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

}  // namespace sterna

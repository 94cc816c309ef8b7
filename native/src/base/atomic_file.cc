#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include "base/quoted.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  if (path_.empty() || path_.back() == '/' || path_.find('\0') != std::string::npos) {
    throw Error(ErrorCode::kIo, "cannot write " + in_quotes(path_) + ": not a file name", path_);
  }
  std::random_device entropy;
  // Opened by hand rather than by mkstemp, so that the umask decides who may read the result.
  for (int attempt = 0; attempt < 100; ++attempt) {
    char suffix[32];
    std::snprintf(suffix, sizeof(suffix), ".tmp-%08x", static_cast<unsigned>(entropy()));
    temporary_ = path_ + suffix;
    fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) return;
    if (errno != EEXIST) break;
  }
  fail("create a file beside it", errno);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::allocate(std::uint64_t size) {
  const auto length = static_cast<off_t>(size);
  if (length < 0) fail("allocate " + std::to_string(size) + " bytes", EFBIG);
  if (length > 0 && ::fallocate(fd_, 0, 0, length) == 0) return;
  const int error = errno;
  if (length > 0 && is_full(error)) fail("allocate " + std::to_string(size) + " bytes", error);
  // This file system cannot claim space ahead: a full disk will show while writing.
  if (::ftruncate(fd_, length) != 0) fail("set the size", errno);
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t pending_end = pending_at_ + pending_.size();
    if (offset % kHugePage == 0 || offset < pending_end ||
        offset / kHugePage != pending_at_ / kHugePage) {
      flush();
    } else if (offset > pending_end) {
      // Bytes behind all that was ever written are zero, so what is skipped there may be joined.
      if (pending_.empty() || pending_end < written_end_) {
        flush();
      } else {
        pending_.resize(offset - pending_at_);
      }
    }
    if (pending_.empty()) pending_at_ = offset;
    const std::uint64_t left = kHugePage - offset % kHugePage;
    const auto part = bytes.first(std::min<std::uint64_t>(bytes.size(), left));
    pending_.reserve(kHugePage);
    pending_.insert(pending_.end(), part.begin(), part.end());
    written_end_ = std::max(written_end_, offset + part.size());
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
}

void AtomicFile::flush() {
  write_out(pending_at_, pending_);
  pending_.clear();
}

void AtomicFile::write_out(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::size_t chunk = std::min(bytes.size(), std::size_t{1} << 30);
    const ssize_t written = ::pwrite(fd_, bytes.data(), chunk, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", errno);
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  flush();
  if (::fsync(fd_) != 0) fail("flush", errno);
  if (::close(std::exchange(fd_, -1)) != 0) fail("close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename a file to it", errno);
  temporary_.clear();
  // The new name is durable once its directory is; a directory that cannot be flushed (some
  // network file systems) has no better way, and the file is already in place.
  const int directory = ::open(directory_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
}

void AtomicFile::fail(const std::string& action, int error) const {
  std::string message = "cannot write " + in_quotes(path_, 4096) + ": could not " + action + ": " +
                        std::generic_category().message(error);
  if (is_full(error)) message += "; free some space or choose another directory";
  throw Error(ErrorCode::kIo, message, path_);
}

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

}  // namespace sterna

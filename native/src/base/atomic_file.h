// A file that appears under its name complete, or not at all.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace sterna {

// Writes to a new file beside `path` and renames it over `path` in commit(); destroyed without
// commit, it leaves nothing behind. Every method throws Error(kIo) that names `path`.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Sets the size and claims the disk space, where the file system can, so that a full disk is
  // found before the work and not after it.
  void allocate(std::uint64_t size);
  void write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes);
  // Makes the content durable, then visible. Call once, last.
  void commit();

 private:
  [[noreturn]] void fail(const std::string& action, int error) const;
  void discard() noexcept;

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace sterna

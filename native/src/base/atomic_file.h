// A file that appears under its name complete, or not at all.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sterna {

// Writes to a new file beside `path` and renames it over `path` in commit(); destroyed without
// commit, it leaves nothing behind. Every method throws Error(kIo) that names `path`.
//
// Neighbouring writes are joined into whole huge pages of the file: where the file system can, the
// page cache then holds it in huge pages, and a mapping of it costs no address translation to speak
// of (see MappedFile).
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
  void flush();
  void write_out(std::uint64_t offset, std::span<const std::uint8_t> bytes);

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  // Bytes that wait to be written, all within one huge page of the file.
  std::vector<std::uint8_t> pending_;
  std::uint64_t pending_at_ = 0;
  std::uint64_t written_end_ = 0;  // behind the last byte that was ever written
};

}  // namespace sterna

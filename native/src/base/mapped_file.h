// A file mapped read-only into memory: pages are shared with every process that maps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sterna {

// Move-only owner of a private read-only mapping. It asks for huge pages, which the system can give
// where the page cache holds the file in such: then mapping takes no time, and reading is not
// slowed by address translation, which costs a core up to a third of its bandwidth with small
// pages. The file must not shrink while it is mapped: the system answers a read beyond its new end
// with SIGBUS, so files are replaced by renaming, never rewritten in place.
class MappedFile {
 public:
  MappedFile() = default;
  // Maps the whole regular file at `path`; an empty file gives empty bytes. Throws Error(kIo)
  // that names the path when it is missing, unreadable, a directory or not a regular file.
  static MappedFile open(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Starts at a page boundary, and at that of a huge page where there is address space.
  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(const std::uint8_t* data, std::size_t size, std::string path);
  void unmap() noexcept;

  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

}  // namespace sterna

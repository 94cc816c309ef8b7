// What the fuzz targets share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>

#include "sterna/error.h"

namespace sterna::fuzz {

// Runs body(); an Error with one of `allowed` codes is a correct refusal, any other a finding.
template <typename Body>
bool accepts(std::initializer_list<ErrorCode> allowed, Body&& body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    for (const ErrorCode code : allowed) {
      if (error.code() == code) return false;
    }
    std::fprintf(stderr, "unexpected error code: %s\n", error.what());
    std::abort();
  }
}

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// A directory in memory for targets that need files, one per process, removed at its end.
inline const std::string& scratch() {
  struct Directory {
    Directory() { require(::mkdtemp(path.data()) != nullptr, "mkdtemp works"); }
    ~Directory() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    std::string path = "/dev/shm/sterna-fuzz-XXXXXX";
  };
  static const Directory directory;
  return directory.path;
}

inline void write_file(const std::string& path, std::span<const std::uint8_t> bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

}  // namespace sterna::fuzz

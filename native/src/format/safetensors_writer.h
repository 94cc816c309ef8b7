// Writes a safetensors file whose tensors all start at multiples of 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/atomic_file.h"
#include "format/dtype.h"

namespace sterna {

inline constexpr std::size_t kTensorAlignment = 64;
// The format allows no gaps, so the bytes between tensors are U8 tensors of this prefix and a
// number.
inline constexpr std::string_view kPaddingPrefix = "_padding.";

// Declare every tensor, begin(), write the bytes of each in any order and in any pieces, then
// commit(): only then does the file appear. The header is padded with spaces, as the format
// permits, so any safetensors library reads the result.
class SafetensorsWriter {
 public:
  SafetensorsWriter(std::string path, std::map<std::string, std::string> metadata);
  ~SafetensorsWriter();

  // Throws Error(kInternal) for a name that was declared before.
  void declare(const std::string& name, Dtype dtype, std::vector<std::int64_t> shape);
  void begin();
  // Writes bytes at `offset` of the tensor. Throws Error: kIo, or kInternal beyond its end.
  void write(const std::string& name, std::size_t offset, std::span<const std::uint8_t> bytes);
  // Throws Error(kInternal) when a tensor has not been given as many bytes as it holds.
  void commit();

 private:
  struct Tensor {
    std::string name;
    Dtype dtype;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;  // after the header
    std::uint64_t size = 0;
    std::uint64_t written = 0;
  };

  void append(Tensor tensor);
  std::string header() const;

  std::string path_;
  std::map<std::string, std::string> metadata_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::unique_ptr<AtomicFile> file_;
  std::uint64_t data_size_ = 0;
  std::uint64_t data_begin_ = 0;  // of the file
  std::size_t paddings_ = 0;
};

}  // namespace sterna

// A bounds-checked reader of safetensors files: nothing in the file is believed unchecked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "format/dtype.h"

namespace sterna {

// The header may be no longer than this, in bytes; the format's own libraries agree.
inline constexpr std::uint64_t kSafetensorsMaxHeader = 100'000'000;

// A tensor of an open file; `bytes` (row-major, little-endian, any alignment) points into it.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;

  std::size_t elements() const { return bytes.size() / dtype_size(dtype); }
};

// "[128, 64]".
std::string shape_text(const std::vector<std::int64_t>& shape);

// Every tensor lies inside the file, has exactly the bytes of its shape and dtype, and together
// they cover the data once, without gap or overlap.
class SafetensorsFile {
 public:
  // Maps and checks the file at `path`. Throws Error: kIo when it cannot be read,
  // kCheckpointInvalid (field: the path) when it is not a safetensors file that keeps the rules.
  static SafetensorsFile open(const std::string& path);
  // As open(), over bytes that outlive the result; `source` names them in errors.
  static SafetensorsFile parse(std::span<const std::uint8_t> bytes, const std::string& source);

  const std::string& path() const { return source_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in order of their bytes
  // Null when there is no such tensor.
  const TensorView* find(std::string_view name) const;

 private:
  SafetensorsFile() = default;

  MappedFile file_;
  std::string source_;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorView> tensors_;
  // Keys view the names in tensors_, whose elements never move once the file is open.
  std::unordered_map<std::string_view, std::size_t> index_;
};

}  // namespace sterna

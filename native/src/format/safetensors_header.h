// The JSON header of a safetensors file, parsed strictly and without building a JSON tree.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "format/dtype.h"

namespace sterna {

// What the header says of one tensor; offsets count from the end of the header.
struct HeaderEntry {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<HeaderEntry> entries;  // in order of the text
};

// Accepts exactly {"__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets"}}.
// Throws Error(kCheckpointInvalid) that names `source` and the tensor. Needs memory in proportion
// to `text`.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& source);

}  // namespace sterna

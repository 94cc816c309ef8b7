// JSON of untrusted files: bounded in size and depth, with no name twice in one object.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "sterna/error.h"

namespace sterna {

struct JsonLimits {
  std::size_t bytes = 0;
  int depth = 32;
};

// Parses one JSON document. Throws Error(code) that names `source` and what is wrong: too large,
// too deep, malformed, or a duplicate key.
nlohmann::json parse_json(std::string_view text, const std::string& source,
                          const JsonLimits& limits, ErrorCode code);

}  // namespace sterna

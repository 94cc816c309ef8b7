// The architectures that are run, and what their names imply.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sterna {

struct Family {
  std::string_view architecture;
  std::vector<std::string_view> model_types;  // that may stand beside it; the first is written
  bool sub_norms = false;
  bool qk_norms = false;
  bool headless = false;  // the checkpoint has no output head: the embedding stands in
  // Weights are latent floats with one scale per matrix even where no quantization_config says so.
  bool latent = false;
};

// Null when it is not run.
const Family* find_family(std::string_view architecture);

// For an error: the architectures that are run and, for a known relative that is not, why not and
// what is nearest to it.
std::string supported_families(std::string_view refused);

}  // namespace sterna

// The adapter_config.json of a PEFT adapter: which modules it changes, and how strongly.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/pattern.h"

namespace sterna {

// Which modules a list of names, or a regular expression, means.
class ModuleSelection {
 public:
  bool empty() const { return !everything && !pattern && names.empty(); }
  // `module` is e.g. "model.layers.3.mlp.up_proj".
  bool contains(std::string_view module) const;

  bool everything = false;         // "all-linear"
  std::optional<Pattern> pattern;  // matches whole names
  std::vector<std::string> names;  // whole names, or their last parts
};

struct PeftConfig {
  ModuleSelection targets;
  ModuleSelection excluded;
  std::vector<int> layers;  // empty: all of them
  int rank = 0;
  double alpha = 0.0;
  bool rslora = false;
  // For modules whose name, or a last part of it, matches; the first match counts.
  std::vector<std::pair<Pattern, int>> rank_pattern;
  std::vector<std::pair<Pattern, double>> alpha_pattern;
  std::string base_model;

  bool applies_to(std::string_view module, int layer) const;
  int rank_of(std::string_view module) const;
  // What B A x is multiplied with: alpha / r, or alpha / sqrt(r) with rslora.
  float scale_of(std::string_view module) const;
};

// Throws Error: kCheckpointInvalid for JSON that is malformed or values that are missing or of the
// wrong type; kUnsupportedAdapter for what this engine does not apply, and for unknown keys that
// are not empty. The error's field is the key. `source` names the file.
PeftConfig parse_peft_config(std::string_view text, const std::string& source);

}  // namespace sterna

// Reading a model's configuration: every value comes from the file, and what the engine cannot
// honour is refused by name.
#pragma once

#include <string>
#include <string_view>

#include "sterna/model.h"

namespace sterna {

// How a checkpoint stores the weights of its ternary linears.
enum class WeightStorage {
  kPacked,      // U8 codes [out / 4, in] and a scale
  kLatent,      // floats [out, in], made ternary when the checkpoint is packed into a bundle
  kTernary,     // floats [out, in] that are ternary as they are, by groups of columns
  kUndeclared,  // no quantization_config: the tensors tell (format/checkpoint_form.h)
};

// What a packed checkpoint's `weight_scale` s means for the integer product.
enum class ScaleRule {
  kMultiply,  // y = x T * s, linear_class "autobitlinear"
  kDivide,    // y = x T / s, every other linear_class
};

struct CheckpointConfig {
  ModelConfig model;
  WeightStorage storage = WeightStorage::kPacked;
  ScaleRule scale_rule = ScaleRule::kDivide;
};

// Parses a Hugging Face config.json. `source` names the file in errors. Throws Error:
// kCheckpointInvalid for JSON that is malformed or values that are missing, of the wrong type or
// contradict each other; kUnsupportedModel for a value this engine does not implement and for any
// key that it does not know (a null counts as absent). The error's field is the key.
CheckpointConfig parse_config(std::string_view text, const std::string& source);

// The configuration as one JSON object with a fixed set of keys, for a bundle's metadata.
std::string config_to_json(const ModelConfig& config);

// The reverse of config_to_json, with the same checks as parse_config. Throws Error.
ModelConfig config_from_json(std::string_view text, const std::string& source);

}  // namespace sterna

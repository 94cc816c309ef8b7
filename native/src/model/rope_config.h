// Reading how a model's rotary embedding is scaled.
#pragma once

#include <nlohmann/json.hpp>

#include "model/config_reader.h"
#include "sterna/model.h"

namespace sterna {

// Reads rope_theta, rope_scaling and rope_parameters of a Hugging Face config into `model`, whose
// sizes have been read. Old files have rope_theta beside rope_scaling, new ones have everything in
// rope_parameters. Defaults are those of the reference library (modeling_rope_utils.py of
// transformers 5). Throws Error as ConfigReader does: kUnsupportedModel names a type that is not
// implemented.
void read_rope(ConfigReader& reader, ModelConfig& model);

// A rope_scaling object from which read_rope reads the same back.
nlohmann::json rope_scaling_to_json(const RopeScaling& scaling);

}  // namespace sterna

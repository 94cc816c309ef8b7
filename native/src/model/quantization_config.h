// Reading how a checkpoint says that its weights are ternary.
#pragma once

#include "model/config.h"
#include "model/config_reader.h"

namespace sterna {

// Reads quantization_config, where there is one, into everything of `config` but its model, which
// has been read. Throws Error as ConfigReader does.
void read_quantization(ConfigReader& reader, CheckpointConfig& config);

}  // namespace sterna

// Checks of what comes from outside, before it reaches the engine's thread.
#pragma once

#include "sterna/engine.h"

namespace sterna {

// Throw Error (kInvalidArgument or kContextLength) naming the field, its limit and the remedy.
void validate_options(const EngineOptions& options);
void validate_mask(const std::vector<std::uint32_t>& allowed, const ModelConfig& config);
void validate_forced(const std::vector<TokenId>& forced, const ModelConfig& config);
void validate_request(const Request& request, const ModelConfig& config,
                      const EngineOptions& options);

}  // namespace sterna

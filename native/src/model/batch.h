// What one forward pass computes.
#pragma once

#include <cstdint>

#include "sterna/model.h"
#include "sterna/request.h"

namespace sterna {

class LoadedAdapter;

// Whether a sequence of at most `length` tokens takes the long factors of LongRoPE. The reference
// library takes them once a text is longer than the context of pre-training. Keys that were rotated
// with the short ones would not fit then, so a sequence has one set for all its life: by the length
// that it may reach.
inline bool needs_long_factors(const ModelConfig& config, std::int64_t length) {
  return config.rope_scaling.type == RopeType::kLongrope &&
         length > config.rope_scaling.original_context;
}

// One position of one sequence. Rows of the same sequence stand in order of position, and every
// earlier position of the sequence is in the cache or in an earlier row of the same batch.
struct BatchRow {
  TokenId token = 0;
  int position = 0;
  const std::int32_t* block_table = nullptr;  // block b holds positions 16 b .. 16 b + 15
  const LoadedAdapter* adapter = nullptr;     // null: the model alone
  bool long_text = false;  // the same for all rows of a sequence: see needs_long_factors
};

}  // namespace sterna

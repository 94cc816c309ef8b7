// What one forward pass computes.
#pragma once

#include <cstdint>

#include "sterna/request.h"

namespace sterna {

class LoadedAdapter;

// One position of one sequence. Rows of the same sequence stand in order of position, and every
// earlier position of the sequence is in the cache or in an earlier row of the same batch.
struct BatchRow {
  TokenId token = 0;
  int position = 0;
  const std::int32_t* block_table = nullptr;  // block b holds positions 16 b .. 16 b + 15
  const LoadedAdapter* adapter = nullptr;     // null: the model alone
};

}  // namespace sterna

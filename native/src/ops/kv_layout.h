// Where the keys and values of a paged KV cache lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace sterna {

// For every layer: [block][kv_head][keys [head_dim][16] | values [16][head_dim]] of float.
// Keys are transposed inside a block so that sixteen scores are computed side by side.
struct KvLayout {
  float* base = nullptr;
  int blocks = 0;
  int kv_heads = 0;
  int head_dim = 0;

  std::size_t head_stride() const {
    return 2 * static_cast<std::size_t>(head_dim) * kKvBlockTokens;
  }
  std::size_t block_stride() const { return kv_heads * head_stride(); }
  std::size_t layer_stride() const { return blocks * block_stride(); }

  // The keys of block 0; block b lies at + b * block_stride().
  float* keys(int layer, int kv_head) const {
    return base + layer * layer_stride() + kv_head * head_stride();
  }
  float* values(int layer, int kv_head) const {
    return keys(layer, kv_head) + static_cast<std::size_t>(head_dim) * kKvBlockTokens;
  }

  // Stores one position's key and value of one head.
  void store(int layer, int kv_head, std::int32_t block, int offset, const float* key,
             const float* value) const {
    float* k = keys(layer, kv_head) + block * block_stride();
    float* v = values(layer, kv_head) + block * block_stride() +
               static_cast<std::size_t>(offset) * head_dim;
    for (int d = 0; d < head_dim; ++d) {
      k[d * kKvBlockTokens + offset] = key[d];
      v[d] = value[d];
    }
  }
};

}  // namespace sterna

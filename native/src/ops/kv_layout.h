// Where the keys and values of a paged KV cache lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace sterna {

// For every layer: [block][kv_head][keys [head_dim][16] | values [16][head_dim] | steps], with
// steps (float key_steps[16], value_steps[16]) for int8 only. Keys are transposed inside a block so
// that sixteen scores are computed side by side.
struct KvLayout {
  std::byte* base = nullptr;  // 64-byte aligned
  KvType type = KvType::kF32;
  int layers = 0;
  int blocks = 0;
  int kv_heads = 0;
  int head_dim = 0;

  std::size_t number_size() const {
    return type == KvType::kF32 ? 4 : type == KvType::kBf16 ? 2 : 1;
  }
  // All strides are in bytes.
  std::size_t values_offset() const {
    return static_cast<std::size_t>(head_dim) * kKvBlockTokens * number_size();
  }
  std::size_t head_stride() const {
    const std::size_t steps = type == KvType::kInt8 ? 2 * kKvBlockTokens * sizeof(float) : 0;
    return 2 * values_offset() + steps;
  }
  std::size_t block_stride() const { return kv_heads * head_stride(); }
  std::size_t layer_stride() const { return blocks * block_stride(); }
  std::size_t total_bytes() const { return layers * layer_stride(); }

  // Block 0 of one head; block b lies at + b * block_stride().
  std::byte* head(int layer, int kv_head) const {
    return base + layer * layer_stride() + kv_head * head_stride();
  }

  // Stores one position's key and value [head_dim] of one head: as they are, rounded to the nearest
  // bfloat16 (ties to even), or as quantize_row makes codes of them.
  void store(const Kernels& kernels, int layer, int kv_head, std::int32_t block, int offset,
             const float* key, const float* value) const;

  // Copies a block of every layer.
  void copy_block(std::int32_t from, std::int32_t to) const;
};

}  // namespace sterna

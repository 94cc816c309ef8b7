#include "ops/kv_layout.h"

#include <cmath>
#include <cstring>

namespace sterna {

namespace {

constexpr int kCodesStride = (kMaxHeadDim + 63) / 64 * 64;

std::uint16_t to_bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (std::isnan(x)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // stays a NaN
  bits += 0x7fffu + (bits >> 16 & 1u);
  return static_cast<std::uint16_t>(bits >> 16);
}

template <typename Number, typename Key, typename Value>
void store_numbers(std::byte* base, std::size_t values_offset, int head_dim, int offset, Key key,
                   Value value) {
  auto* keys = reinterpret_cast<Number*>(base);
  auto* values =
      reinterpret_cast<Number*>(base + values_offset) + static_cast<std::size_t>(offset) * head_dim;
  for (int d = 0; d < head_dim; ++d) {
    keys[d * kKvBlockTokens + offset] = key(d);
    values[d] = value(d);
  }
}

}  // namespace

void KvLayout::store(const Kernels& kernels, int layer, int kv_head, std::int32_t block, int offset,
                     const float* key, const float* value) const {
  std::byte* at = head(layer, kv_head) + block * block_stride();
  switch (type) {
    case KvType::kF32:
      store_numbers<float>(
          at, values_offset(), head_dim, offset, [=](int d) { return key[d]; },
          [=](int d) { return value[d]; });
      return;
    case KvType::kBf16:
      store_numbers<std::uint16_t>(
          at, values_offset(), head_dim, offset, [=](int d) { return to_bf16(key[d]); },
          [=](int d) { return to_bf16(value[d]); });
      return;
    case KvType::kInt8: {
      alignas(64) std::int8_t key_codes[kCodesStride];
      alignas(64) std::int8_t value_codes[kCodesStride];
      const int stride = (head_dim + 63) / 64 * 64;
      auto* steps = reinterpret_cast<float*>(at + 2 * values_offset());
      std::int32_t sum;
      kernels.quantize_row(key, head_dim, key_codes, stride, steps + offset, &sum);
      kernels.quantize_row(value, head_dim, value_codes, stride, steps + kKvBlockTokens + offset,
                           &sum);
      store_numbers<std::int8_t>(
          at, values_offset(), head_dim, offset, [&](int d) { return key_codes[d]; },
          [&](int d) { return value_codes[d]; });
      return;
    }
  }
}

void KvLayout::copy_block(std::int32_t from, std::int32_t to) const {
  for (int layer = 0; layer < layers; ++layer) {
    std::byte* at = base + layer * layer_stride();
    std::memcpy(at + to * block_stride(), at + from * block_stride(), block_stride());
  }
}

}  // namespace sterna

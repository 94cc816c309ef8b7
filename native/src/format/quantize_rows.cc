#include "format/quantize_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "format/dtype.h"

namespace sterna {

namespace {

constexpr int kSuperGroups = 16;

void put_bf16(float value, std::uint8_t* out) {
  const std::uint16_t bits = round_to_bf16(value);
  std::memcpy(out, &bits, sizeof bits);
}

float rounded_to_bf16(float value) { return bf16_to_f32(round_to_bf16(value)); }

}  // namespace

RowQuantizer::RowQuantizer(WeightFormat format, int cols)
    : format_(format), layout_(quantized_layout(format, cols)) {
  values_.resize(layout_.padded);
  codes_.resize(layout_.padded);
}

float RowQuantizer::scale_of(const float* values, int count) const {
  const float* extreme = std::max_element(
      values, values + count, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  return layout_.bits == 8 ? std::fabs(*extreme) / 127.0f
                           : *extreme / -static_cast<float>(1 << (layout_.bits - 1));
}

void RowQuantizer::encode(const float* values, float scale, int begin) {
  const float most = static_cast<float>((1 << (layout_.bits - 1)) - 1);
  const float least = layout_.bits == 8 ? -most : -most - 1.0f;
  for (int i = 0; i < layout_.group; ++i) {
    const float code = scale == 0.0f ? 0.0f : std::nearbyint(values[i] / scale);
    codes_[begin + i] = static_cast<std::int8_t>(std::clamp(code, least, most));
  }
}

void RowQuantizer::quantize(std::span<const float> row, std::uint8_t* out) {
  std::copy(row.begin(), row.end(), values_.begin());
  std::fill(values_.begin() + static_cast<std::ptrdiff_t>(row.size()), values_.end(), 0.0f);
  std::fill(out, out + layout_.row_bytes, std::uint8_t{0});
  const int group = layout_.group;
  float row_scale = 0.0f;
  if (layout_.row_scale) {
    row_scale = scale_of(values_.data(), layout_.padded);
    std::memcpy(out + layout_.scales, &row_scale, sizeof row_scale);
  }
  for (int g = 0; g < layout_.groups(); ++g) {
    const float* values = values_.data() + g * group;
    if (layout_.row_scale) {
      encode(values, row_scale, g * group);
    } else if (format_ != WeightFormat::kQ6K) {
      const float scale = rounded_to_bf16(scale_of(values, group));
      put_bf16(scale, out + layout_.scales + static_cast<std::size_t>(g) * 2);
      encode(values, scale, g * group);
    } else if (g % kSuperGroups == 0) {
      float largest = 0.0f;
      for (int i = 0; i < kSuperGroups; ++i) {
        largest = std::max(largest, std::fabs(scale_of(values + i * group, group)));
      }
      const float unit = rounded_to_bf16(largest / 127.0f);
      put_bf16(unit, out + layout_.super_scales + static_cast<std::size_t>(g / kSuperGroups) * 2);
      for (int i = 0; i < kSuperGroups; ++i) {
        const float wanted = unit == 0.0f ? 0.0f : scale_of(values + i * group, group) / unit;
        const float sub = std::clamp(std::nearbyint(wanted), -127.0f, 127.0f);
        out[layout_.scales + g + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(sub));
        encode(values + i * group, sub * unit, (g + i) * group);
      }
    }
  }
  store_codes(out);
}

void RowQuantizer::store_codes(std::uint8_t* out) const {
  const int offset = 1 << (layout_.bits - 1);
  const int unit = layout_.unit();
  const int half = unit / 64 / 2;
  for (int c = 0; c < layout_.padded; ++c) {
    const int code = codes_[c] + offset;
    const int place = quantized_place(layout_, c);
    if (layout_.bits == 8) {
      out[place] = static_cast<std::uint8_t>(code);
      continue;
    }
    const int byte = place % 64;
    const int vector = place % unit / 64;
    out[place / unit * (unit / 2) + vector % half * 64 + byte] |=
        static_cast<std::uint8_t>((code & 15) << (vector / half * 4));
    if (layout_.bits > 4) {
      out[layout_.high + place / unit * 64 + byte] |=
          static_cast<std::uint8_t>(code >> 4 << (vector * (layout_.bits - 4)));
    }
  }
}

}  // namespace sterna

#include "kernels/quantized.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "format/dtype.h"

namespace sterna {

namespace {

constexpr std::string_view kNames[] = {"int8", "q8_0", "q6_k", "q5_0", "q4_0"};

constexpr int kDigit = 255;
constexpr float kMostSteps = 32500.0f;  // below 127 * 255 + 127 with room for rounding
// Smaller states would lose their steps to underflow; they are taken as zero.
constexpr float kLeastState = 1e-30f;

std::uint16_t u16_at(const std::uint8_t* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}

}  // namespace

std::string_view weight_format_name(WeightFormat format) {
  return kNames[static_cast<int>(format)];
}

std::optional<WeightFormat> weight_format_from(std::string_view name) {
  for (const WeightFormat format : kWeightFormats) {
    if (weight_format_name(format) == name) return format;
  }
  return std::nullopt;
}

QuantizedLayout quantized_layout(WeightFormat format, int cols) {
  constexpr int kBits[] = {8, 8, 6, 5, 4};
  QuantizedLayout layout;
  layout.bits = kBits[static_cast<int>(format)];
  layout.group = format == WeightFormat::kQ6K ? 16 : 32;
  layout.row_scale = format == WeightFormat::kInt8;
  const int unit = layout.unit();
  layout.padded = (cols + unit - 1) / unit * unit;
  const auto padded = static_cast<std::size_t>(layout.padded);
  const auto groups = static_cast<std::size_t>(layout.groups());
  layout.high = layout.bits == 8 ? padded : padded / 2;
  layout.scales = layout.high + (layout.bits == 8 ? 0 : padded * (layout.bits - 4) / 8);
  layout.super_scales = layout.scales;
  std::size_t scale_bytes = layout.row_scale ? sizeof(float) : 2 * groups;
  if (format == WeightFormat::kQ6K) {
    layout.super_scales = layout.scales + groups;
    scale_bytes = groups + 2 * groups / kUnitGroups;
  }
  layout.row_bytes = (layout.scales + scale_bytes + 15) / 16 * 16;
  return layout;
}

int quantized_place(const QuantizedLayout& layout, int col) {
  const int within = col % layout.unit();
  const int group = within / layout.group;
  const int member = within % layout.group;
  return col - within + member / 4 * 64 + group * 4 + member % 4;
}

void quantize_state(const QuantizedLayout& layout, const float* x, int cols, std::int8_t* codes,
                    std::int32_t* sums, float* step) {
  std::fill(codes, codes + 2 * layout.padded, std::int8_t{0});
  std::fill(sums, sums + 2 * layout.groups(), 0);
  float largest = 0.0f;
  for (int i = 0; i < cols; ++i) {
    if (!std::isfinite(x[i])) {
      *step = std::numeric_limits<float>::quiet_NaN();
      return;
    }
    largest = std::max(largest, std::fabs(x[i]));
  }
  *step = largest < kLeastState ? 0.0f : largest / kMostSteps;
  if (*step == 0.0f) return;
  for (int i = 0; i < cols; ++i) {
    const auto units = static_cast<int>(std::lrint(x[i] / *step));
    const int digit = (units + (units < 0 ? -kDigit / 2 : kDigit / 2)) / kDigit;
    const int rest = units - digit * kDigit;
    const int place = quantized_place(layout, i);
    codes[place] = static_cast<std::int8_t>(digit);
    codes[layout.padded + place] = static_cast<std::int8_t>(rest);
    sums[i / layout.group] += digit;
    sums[layout.groups() + i / layout.group] += rest;
  }
}

void unpack_quantized(const QuantizedLayout& layout, const std::uint8_t* row, std::int8_t* codes,
                      float* scales) {
  const int unit = layout.unit();
  const int vectors = unit / 64;
  for (int c = 0; c < layout.padded; ++c) {
    const int place = quantized_place(layout, c);
    int code = row[place];
    if (layout.bits < 8) {
      const int at = place % unit;
      const int vector = at / 64;
      const int half = vectors / 2;
      const int begin = place / unit * (unit / 2);
      code = row[begin + vector % half * 64 + at % 64] >> (vector / half * 4) & 15;
      const std::uint8_t high = row[layout.high + place / unit * 64 + at % 64];
      if (layout.bits == 5) code |= (high >> vector & 1) << 4;
      if (layout.bits == 6) code |= (high >> (2 * vector) & 3) << 4;
    }
    codes[c] = static_cast<std::int8_t>(code - (1 << (layout.bits - 1)));
  }
  for (int g = 0; g < layout.groups(); ++g) {
    const auto group = static_cast<std::size_t>(g);
    if (layout.row_scale) {
      std::memcpy(scales + g, row + layout.scales, sizeof(float));
    } else if (layout.bits == 6) {
      const auto sub = static_cast<std::int8_t>(row[layout.scales + group]);
      const std::uint8_t* super = row + layout.super_scales + group / kUnitGroups * 2;
      scales[g] = static_cast<float>(sub) * bf16_to_f32(u16_at(super));
    } else {
      scales[g] = bf16_to_f32(u16_at(row + layout.scales + 2 * group));
    }
  }
}

void widen_quantized(const QuantizedMatrix& matrix, int row, float* out) {
  const QuantizedLayout layout = matrix.layout();
  thread_local std::vector<std::int8_t> codes;
  thread_local std::vector<float> scales;
  codes.resize(layout.padded);
  scales.resize(layout.groups());
  unpack_quantized(layout, matrix.data + row * layout.row_bytes, codes.data(), scales.data());
  for (int c = 0; c < matrix.cols; ++c) {
    out[c] = static_cast<float>(codes[c]) * scales[c / layout.group];
  }
}

}  // namespace sterna

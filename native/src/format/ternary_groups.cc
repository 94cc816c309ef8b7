#include "format/ternary_groups.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "format/dtype.h"

namespace sterna {

std::optional<std::uint16_t> exact_half(float value) {
  const std::uint16_t half = f32_to_f16(value);
  if (!std::isfinite(value) || f16_to_f32(half) != value) return std::nullopt;
  return half;
}

int split_groups(std::span<const float> row, int group, std::int8_t* trits, float* scales) {
  const int cols = static_cast<int>(row.size());
  for (int begin = 0; begin < cols; begin += group) {
    const int end = std::min(begin + group, cols);
    float scale = 0.0f;
    for (int col = begin; col < end; ++col) {
      if (!std::isfinite(row[col])) return col;
      scale = std::max(scale, std::fabs(row[col]));
    }
    *scales++ = scale;
    for (int col = begin; col < end; ++col) {
      const float value = row[col];
      if (value != 0.0f && std::fabs(value) != scale) return col;
      trits[col] = static_cast<std::int8_t>((value > 0.0f) - (value < 0.0f));
    }
  }
  return -1;
}

GroupScan scan_groups(const TensorView& tensor, int group) {
  const auto rows = static_cast<int>(tensor.shape[0]);
  const auto cols = static_cast<std::size_t>(tensor.shape[1]);
  const std::size_t row_bytes = cols * dtype_size(tensor.dtype);
  std::vector<float> values(cols);
  std::vector<std::int8_t> trits(cols);
  std::vector<float> scales((cols + group - 1) / group);
  GroupScan scan;
  for (int row = 0; row < rows; ++row) {
    widen(tensor.dtype, tensor.bytes.data() + row * row_bytes, cols, values.data());
    const int col = split_groups(values, group, trits.data(), scales.data());
    if (col >= 0) {
      scan.ternary = false;
      scan.row = row;
      scan.col = col;
      scan.value = values[col];
      return scan;
    }
    for (const float scale : scales) scan.half_scales &= exact_half(scale).has_value();
  }
  return scan;
}

}  // namespace sterna

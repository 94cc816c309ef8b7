#include "format/ternarize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sterna {

bool has_invalid_code(std::span<const std::uint8_t> packed) {
  // Both bits of a pair set: without a branch per byte the compiler vectorizes the loop.
  unsigned found = 0;
  for (const std::uint8_t byte : packed) found |= byte & (byte >> 1) & 0x55u;
  return found != 0;
}

void unpack_rows(const std::uint8_t* packed, int rows, int cols, int begin, int end,
                 std::int8_t* trits) {
  const int quarter = rows / 4;
  const auto width = static_cast<std::size_t>(cols);
  for (int row = begin; row < end; ++row) {
    const int shift = 2 * (row / quarter);
    const std::uint8_t* in = packed + static_cast<std::size_t>(row % quarter) * width;
    for (std::size_t c = 0; c < width; ++c) {
      trits[c] = static_cast<std::int8_t>(((in[c] >> shift) & 3) - 1);
    }
    trits += width;
  }
}

AbsMean absmean(Dtype dtype, const std::uint8_t* bytes, int rows, int cols) {
  const auto width = static_cast<std::size_t>(cols);
  const std::size_t row_bytes = width * dtype_size(dtype);
  std::vector<float> row(width);
  double sum = 0.0;
  for (int r = 0; r < rows; ++r) {
    widen(dtype, bytes + static_cast<std::size_t>(r) * row_bytes, width, row.data());
    double row_sum = 0.0;
    for (const float value : row) row_sum += std::fabs(static_cast<double>(value));
    sum += row_sum;
  }
  AbsMean result;
  // Finite floats cannot overflow a double sum, so this sees every NaN and infinity.
  result.finite = std::isfinite(sum);
  if (!result.finite) return result;
  const auto mean =
      static_cast<float>(sum / (static_cast<double>(rows) * static_cast<double>(cols)));
  result.k = 1.0f / std::max(mean, 1e-5f);
  result.scale = 1.0f / result.k;
  return result;
}

void ternarize_rows(Dtype dtype, const std::uint8_t* bytes, int cols, int begin, int end, float k,
                    std::int8_t* trits) {
  const auto width = static_cast<std::size_t>(cols);
  const std::size_t row_bytes = width * dtype_size(dtype);
  std::vector<float> row(width);
  for (int r = begin; r < end; ++r) {
    widen(dtype, bytes + static_cast<std::size_t>(r) * row_bytes, width, row.data());
    for (std::size_t c = 0; c < width; ++c) {
      // Half to even, the default rounding mode; an overflow to infinity clamps like the rest.
      trits[c] = static_cast<std::int8_t>(std::clamp(std::nearbyint(row[c] * k), -1.0f, 1.0f));
    }
    trits += width;
  }
}

}  // namespace sterna

#include "kernels/grouped.h"

#include <algorithm>

#include "format/dtype.h"

namespace sterna {

void quantize_groups(const Kernels& kernels, const float* x, int n, int group, std::int8_t* codes,
                     int stride, float* steps, std::int32_t* sums) {
  for (int begin = 0; begin < n; begin += group) {
    const bool last = begin + group >= n;
    kernels.quantize_row(x + begin, std::min(group, n - begin), codes + begin,
                         last ? stride - begin : group, steps++, sums++);
  }
}

void ternary_row(const TernaryMatrix& w, int row, float* out) {
  const int groups = w.groups();
  const auto tile = static_cast<std::size_t>(row / kTileRows);
  const int within = row % kTileRows;
  const std::uint8_t* codes = w.tiles + tile * w.col_blocks() * kTileBytes + 4 * within;
  for (int g = 0; g < groups; ++g) {
    const std::size_t at = (tile * groups + g) * kTileRows + within;
    const float scale =
        w.half_scales != nullptr ? f16_to_f32(w.half_scales[at]) : w.float_scales[at];
    const int end = std::min((g + 1) * w.group, w.cols);
    for (int col = g * w.group; col < end; ++col) {
      const int c = col % kTileCols;
      const std::uint8_t byte =
          codes[static_cast<std::size_t>(col / kTileCols) * kTileBytes + c % 4];
      out[col] = static_cast<float>((byte >> (2 * (c / 4)) & 3) - 1) * scale;
    }
  }
}

}  // namespace sterna

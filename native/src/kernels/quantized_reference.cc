#include "kernels/quantized_reference.h"

#include <cmath>
#include <vector>

#include "kernels/reference_math.h"

namespace sterna {

using namespace reference;

namespace {

float dot(const QuantizedLayout& layout, const std::int8_t* codes, const float* scales,
          const std::int8_t* digits) {
  const int groups = layout.groups();
  std::int32_t sums[2][kLanes] = {};
  float lanes[kLanes] = {};
  for (int g = 0; g < groups; ++g) {
    const int lane = g % kLanes;
    if (!layout.row_scale) sums[0][lane] = sums[1][lane] = 0;
    for (int c = g * layout.group; c < (g + 1) * layout.group; ++c) {
      const int place = quantized_place(layout, c);
      sums[0][lane] += codes[c] * digits[place];
      sums[1][lane] += codes[c] * digits[layout.padded + place];
    }
    const float value =
        std::fma(255.0f, static_cast<float>(sums[0][lane]), static_cast<float>(sums[1][lane]));
    lanes[lane] = layout.row_scale ? value : std::fma(value, scales[g], lanes[lane]);
  }
  const float sum = sum_lanes(lanes);
  return layout.row_scale ? sum * scales[0] : sum;
}

}  // namespace

void matmul_quantized_reference(const QuantizedMatrix& w, int row_begin, int row_end,
                                const QuantizedStates& x, float* y, std::size_t y_stride) {
  const QuantizedLayout layout = w.layout();
  std::vector<std::int8_t> codes(layout.padded);
  std::vector<float> scales(layout.groups());
  for (int row = row_begin; row < row_end; ++row) {
    unpack_quantized(layout, w.data + row * layout.row_bytes, codes.data(), scales.data());
    for (int i = 0; i < x.count; ++i) {
      const std::int8_t* digits = x.codes + static_cast<std::size_t>(i) * 2 * layout.padded;
      y[i * y_stride + row] = dot(layout, codes.data(), scales.data(), digits) * x.steps[i];
    }
  }
}

}  // namespace sterna

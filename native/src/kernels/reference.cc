// The plain implementation: its results define the bits of every other table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/exp_constants.h"
#include "kernels/kernels.h"
#include "kernels/tables.h"

namespace sterna {

namespace {

constexpr int kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float maximum(float a, float b) { return a > b ? a : b; }

// Joins sixteen lanes pairwise: l with l+8, l+4, l+2, l+1.
template <typename Join>
float join_lanes(const float (&lanes)[kLanes], Join join) {
  float work[kLanes];
  std::copy(lanes, lanes + kLanes, work);
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    for (int l = 0; l < distance; ++l) work[l] = join(work[l], work[l + distance]);
  }
  return work[0];
}

float sum_lanes(const float (&lanes)[kLanes]) {
  return join_lanes(lanes, [](float a, float b) { return a + b; });
}

template <typename ElementA, typename ElementB>
float dot(int n, ElementA a, ElementB b) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(a(i), b(i), lanes[i % kLanes]);
  return sum_lanes(lanes);
}

float exponential(float x) {
  using namespace exp_constants;
  if (x < kExpLow) x = kExpLow;
  if (x > kExpHigh) x = kExpHigh;
  if (std::isnan(x)) return x;
  const float n = std::nearbyint(x * kLog2E);
  const float r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, x));
  float p = std::fma(kC6, r, kC5);
  p = std::fma(p, r, kC4);
  p = std::fma(p, r, kC3);
  p = std::fma(p, r, kC2);
  const float e = std::fma(std::fma(p, r, 1.0f), r, 1.0f);
  const int exponent = static_cast<int>(n);
  const int half = exponent >> 1;
  return (e * std::ldexp(1.0f, half)) * std::ldexp(1.0f, exponent - half);
}

float bf16_to_float(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

void quantize_row(const float* x, int n, std::int8_t* codes, int stride, float* step,
                  std::int32_t* sum) {
  float largest = 0.0f;
  bool finite = true;
  for (int i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    largest = std::max(largest, std::fabs(x[i]));
  }
  std::fill(codes, codes + stride, std::int8_t{0});
  *sum = 0;
  if (!finite) {
    *step = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  const float scale = 127.0f / std::max(largest, 1e-5f);
  for (int i = 0; i < n; ++i) {
    const float code = std::clamp(std::nearbyint(x[i] * scale), -128.0f, 127.0f);
    codes[i] = static_cast<std::int8_t>(code);
    *sum += codes[i];
  }
  *step = 1.0f / scale;
}

void ternary_matmul(const TernaryMatrix& w, const QuantizedRows& x, int tile_begin, int tile_end,
                    float* y, std::size_t y_stride) {
  const int row_end = std::min(w.rows, tile_end * kTileRows);
  for (int m = 0; m < x.rows; ++m) {
    const std::int8_t* codes = x.codes + static_cast<std::size_t>(m) * x.stride;
    for (int row = tile_begin * kTileRows; row < row_end; ++row) {
      std::int32_t total = 0;
      for (int col = 0; col < w.cols; ++col) {
        const std::size_t block = static_cast<std::size_t>(row / kTileRows) * w.col_blocks() +
                                  static_cast<std::size_t>(col / kTileCols);
        const int c = col % kTileCols;
        const std::uint8_t byte = w.tiles[block * kTileBytes + 4 * (row % kTileRows) + c % 4];
        total += ((byte >> (2 * (c / 4)) & 3) - 1) * codes[col];
      }
      y[m * y_stride + row] = static_cast<float>(total) * (x.steps[m] * w.scale);
    }
  }
}

void matmul_bf16(const std::uint16_t* w, int n, int row_begin, int row_end, const float* x, int m,
                 std::size_t x_stride, float* y, std::size_t y_stride) {
  for (int row = row_begin; row < row_end; ++row) {
    const std::uint16_t* weights = w + static_cast<std::size_t>(row) * n;
    for (int i = 0; i < m; ++i) {
      const float* input = x + i * x_stride;
      y[i * y_stride + row] =
          dot(n, [=](int k) { return bf16_to_float(weights[k]); }, [=](int k) { return input[k]; });
    }
  }
}

void matmul_f32(const float* w, int n, int row_begin, int row_end, const float* x, int m,
                std::size_t x_stride, float* y, std::size_t y_stride) {
  for (int row = row_begin; row < row_end; ++row) {
    const float* weights = w + static_cast<std::size_t>(row) * n;
    for (int i = 0; i < m; ++i) {
      const float* input = x + i * x_stride;
      y[i * y_stride + row] =
          dot(n, [=](int k) { return weights[k]; }, [=](int k) { return input[k]; });
    }
  }
}

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
  const auto element = [=](int i) { return x[i]; };
  const float mean = dot(n, element, element) / static_cast<float>(n);
  const float factor = 1.0f / std::sqrt(mean + eps);
  for (int i = 0; i < n; ++i) out[i] = (x[i] * factor) * weight[i];
}

// Scores of one block of 16 positions for one head, masked from `valid` on.
void score_block(const AttentionArgs& args, const float* query, const float* key, int valid,
                 float (&scores)[kLanes]) {
  for (int t = 0; t < kLanes; ++t) {
    if (t >= valid) {
      scores[t] = -kInfinity;
      continue;
    }
    float partial[4] = {};
    for (int d = 0; d < args.head_dim; ++d) {
      partial[d % 4] = std::fma(query[d], key[d * kKvBlockTokens + t], partial[d % 4]);
    }
    scores[t] = ((partial[0] + partial[1]) + (partial[2] + partial[3])) * args.scale;
  }
}

void attend_head(const AttentionArgs& args, const float* query, float* out) {
  std::fill(out, out + args.head_dim, 0.0f);
  if (args.length <= 0) return;
  float running_max = -kInfinity;
  float sums[kLanes] = {};
  for (int begin = 0; begin < args.length; begin += kKvBlockTokens) {
    const int valid = std::min(kKvBlockTokens, args.length - begin);
    const std::size_t offset =
        static_cast<std::size_t>(args.block_table[begin / kKvBlockTokens]) * args.block_stride;
    float scores[kLanes];
    score_block(args, query, args.keys + offset, valid, scores);
    const float block_max = maximum(running_max, join_lanes(scores, maximum));
    const float rescale = exponential(running_max - block_max);
    running_max = block_max;
    for (int t = 0; t < kLanes; ++t) {
      scores[t] = exponential(scores[t] - block_max);
      sums[t] = std::fma(sums[t], rescale, scores[t]);
    }
    const float* value = args.values + offset;
    for (int d = 0; d < args.head_dim; ++d) {
      float total = out[d] * rescale;
      for (int t = 0; t < valid; ++t) {
        total = std::fma(scores[t], value[t * args.head_dim + d], total);
      }
      out[d] = total;
    }
  }
  const float inverse = 1.0f / sum_lanes(sums);
  for (int d = 0; d < args.head_dim; ++d) out[d] = out[d] * inverse;
}

void attention(const AttentionArgs& args) {
  for (int head = 0; head < args.group; ++head) {
    const std::size_t offset = static_cast<std::size_t>(head) * args.head_dim;
    attend_head(args, args.query + offset, args.out + offset);
  }
}

void relu2_mul(const float* gate, const float* up, int n, float* out) {
  for (int i = 0; i < n; ++i) {
    const float positive = maximum(0.0f, gate[i]);  // keeps a NaN gate
    out[i] = (positive * positive) * up[i];
  }
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
  for (int i = 0; i < n; ++i) out[i] = (gate[i] / (1.0f + exponential(-gate[i]))) * up[i];
}

void rope(float* x, int heads, int head_dim, const float* cos, const float* sin) {
  const int half = head_dim / 2;
  for (int head = 0; head < heads; ++head) {
    float* low = x + static_cast<std::size_t>(head) * head_dim;
    float* high = low + half;
    for (int i = 0; i < half; ++i) {
      const float a = low[i];
      const float b = high[i];
      low[i] = a * cos[i] - b * sin[i];
      high[i] = b * cos[i] + a * sin[i];
    }
  }
}

void add(float* x, const float* y, int n) {
  for (int i = 0; i < n; ++i) x[i] += y[i];
}

void exponentials(const float* x, int n, float* out) {
  for (int i = 0; i < n; ++i) out[i] = exponential(x[i]);
}

}  // namespace

const Kernels kReferenceKernels = {
    .name = "reference",
    .quantize_row = quantize_row,
    .ternary_matmul = ternary_matmul,
    .matmul_bf16 = matmul_bf16,
    .matmul_f32 = matmul_f32,
    .rms_norm = rms_norm,
    .attention = attention,
    .relu2_mul = relu2_mul,
    .silu_mul = silu_mul,
    .rope = rope,
    .add = add,
    .exp = exponentials,
};

}  // namespace sterna

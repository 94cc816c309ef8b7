// The plain implementation: its results define the bits of every other table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "format/dtype.h"
#include "format/split_rows.h"
#include "kernels/attention_reference.h"
#include "kernels/kernels.h"
#include "kernels/quantized_reference.h"
#include "kernels/reference_math.h"
#include "kernels/sparse_kernels.h"
#include "kernels/tables.h"

namespace sterna {

using namespace reference;

namespace {

template <typename ElementA, typename ElementB>
float dot(int n, ElementA a, ElementB b) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(a(i), b(i), lanes[i % kLanes]);
  return sum_lanes(lanes);
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

// The sum over columns [begin, end) of one row.
std::int32_t ternary_sum(const TernaryMatrix& w, int row, const std::int8_t* codes, int begin,
                         int end) {
  std::int32_t total = 0;
  for (int col = begin; col < end; ++col) {
    const std::size_t block = static_cast<std::size_t>(row / kTileRows) * w.col_blocks() +
                              static_cast<std::size_t>(col / kTileCols);
    const int c = col % kTileCols;
    const std::uint8_t byte = w.tiles[block * kTileBytes + 4 * (row % kTileRows) + c % 4];
    total += ((byte >> (2 * (c / 4)) & 3) - 1) * codes[col];
  }
  return total;
}

float group_scale(const TernaryMatrix& w, int row, int group) {
  const std::size_t at =
      (static_cast<std::size_t>(row / kTileRows) * w.groups() + group) * kTileRows +
      row % kTileRows;
  return w.half_scales != nullptr ? f16_to_f32(w.half_scales[at]) : w.float_scales[at];
}

void ternary_matmul(const TernaryMatrix& w, const QuantizedRows& x, int tile_begin, int tile_end,
                    float* y, std::size_t y_stride) {
  const int row_end = std::min(w.rows, tile_end * kTileRows);
  for (int m = 0; m < x.rows; ++m) {
    const std::int8_t* codes = x.codes + static_cast<std::size_t>(m) * x.stride;
    for (int row = tile_begin * kTileRows; row < row_end; ++row) {
      float& out = y[m * y_stride + row];
      if (w.group == 0) {
        const std::int32_t total = ternary_sum(w, row, codes, 0, w.cols);
        out = static_cast<float>(total) * (x.steps[m] * w.scale);
        continue;
      }
      out = 0.0f;
      for (int g = 0; g < w.groups(); ++g) {
        const int begin = g * w.group;
        const std::int32_t total =
            ternary_sum(w, row, codes, begin, std::min(begin + w.group, w.cols));
        const float step = x.steps[static_cast<std::size_t>(m) * w.groups() + g];
        out = std::fma(static_cast<float>(total), step * group_scale(w, row, g), out);
      }
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
          dot(n, [=](int k) { return bf16_to_f32(weights[k]); }, [=](int k) { return input[k]; });
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

void low_rank_add(const float* w, std::size_t w_stride, int rank, int columns, const float* h,
                  int m, std::size_t h_stride, float scale, float* y, std::size_t y_stride) {
  for (int i = 0; i < m; ++i) {
    for (int c = 0; c < columns; ++c) {
      float sum = 0.0f;
      for (int j = 0; j < rank; ++j) {
        sum = std::fma(h[i * h_stride + j], w[j * w_stride + c], sum);
      }
      y[i * y_stride + c] += scale * sum;
    }
  }
}

void low_rank_widen(LowRankFormat format, const void* weights, int n, float* out) {
  const auto* bytes = static_cast<const std::uint8_t*>(weights);
  const auto step = [&](int block_bytes, int i) {
    const std::uint8_t* at = bytes + i / 32 * block_bytes;
    return f16_to_f32(static_cast<std::uint16_t>(at[0] | at[1] << 8));
  };
  for (int i = 0; i < n; ++i) {
    if (format == LowRankFormat::kBf16) {
      out[i] = bf16_to_f32(static_cast<const std::uint16_t*>(weights)[i]);
    } else if (format == LowRankFormat::kInt8) {
      out[i] = static_cast<const std::int8_t*>(weights)[i];
    } else if (format == LowRankFormat::kQ8) {
      const std::uint8_t code = bytes[i / 32 * 34 + 2 + i % 32];
      out[i] = step(34, i) * static_cast<float>(static_cast<std::int8_t>(code));
    } else if (format == LowRankFormat::kQ4) {
      const std::uint8_t pair = bytes[i / 32 * 18 + 2 + i % 16];
      out[i] = step(18, i) * static_cast<float>((i % 32 < 16 ? pair & 15 : pair >> 4) - 8);
    }
  }
}

void dot_codes(const std::uint8_t* w, std::size_t stride, int row_begin, int row_end,
               const std::int8_t* x, const std::int32_t*, int m, std::int32_t* y,
               std::size_t y_stride) {
  for (int row = row_begin; row < row_end; ++row) {
    for (int i = 0; i < m; ++i) {
      std::int32_t total = 0;
      for (std::size_t k = 0; k < stride; ++k) {
        total += (w[row * stride + k] - 128) * x[i * stride + k];
      }
      y[i * y_stride + row] = total;
    }
  }
}

void join_halves(const std::uint8_t* high, const std::uint8_t* low, int n, float scale,
                 float* out) {
  for (int i = 0; i < n; ++i) {
    const int place = split_place(i);
    out[i] = static_cast<float>(256 * (high[place] - 128) + (low[place] - 128)) * scale;
  }
}

void dot_and_join(const float* row, int n, const float* x, float* y, const std::uint8_t* high,
                  const std::uint8_t* low, float scale, float* out) {
  matmul_f32(row, n, 0, 1, x, 1, n, y, 1);
  join_halves(high, low, n, scale, out);
}

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
  const auto element = [=](int i) { return x[i]; };
  const float mean = dot(n, element, element) / static_cast<float>(n);
  const float factor = 1.0f / std::sqrt(mean + eps);
  for (int i = 0; i < n; ++i) out[i] = (x[i] * factor) * weight[i];
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
    .dot_codes = dot_codes,
    .matmul_quantized = matmul_quantized_reference,
    .join_halves = join_halves,
    .dot_and_join = dot_and_join,
    .low_rank_add = low_rank_add,
    .low_rank_widen = low_rank_widen,
    .rms_norm = rms_norm,
    .attention = attention_reference,
    .attention_join = attention_join_reference,
    .attention_finish = attention_finish_reference,
    .relu2_mul = relu2_mul,
    .silu_mul = silu_mul,
    .rope = rope,
    .add = add,
    .exp = exponentials,
    .sparse = &kReferenceSparseKernels,
};

}  // namespace sterna

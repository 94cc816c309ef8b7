// The plain implementation: its results define the bits of every other table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "format/dtype.h"
#include "format/split_rows.h"
#include "kernels/exp_constants.h"
#include "kernels/kernels.h"
#include "kernels/quantized_reference.h"
#include "kernels/sparse_kernels.h"
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
      out[i] = bf16_to_float(static_cast<const std::uint16_t*>(weights)[i]);
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

// Element `i` of the keys or values of a block.
float cached_number(KvType type, const std::byte* numbers, std::size_t i) {
  switch (type) {
    case KvType::kBf16:
      return bf16_to_float(reinterpret_cast<const std::uint16_t*>(numbers)[i]);
    case KvType::kInt8:
      return static_cast<float>(reinterpret_cast<const std::int8_t*>(numbers)[i]);
    default:
      return reinterpret_cast<const float*>(numbers)[i];
  }
}

std::size_t number_size(KvType type) {
  return type == KvType::kF32 ? sizeof(float) : type == KvType::kBf16 ? 2 : 1;
}

// One block of the cache, seen from one KV head.
struct CachedBlock {
  CachedBlock(const AttentionArgs& args, int position)
      : type(args.type),
        keys(args.cache + args.block_table[position / kKvBlockTokens] * args.block_stride) {
    const std::size_t half =
        static_cast<std::size_t>(args.head_dim) * kKvBlockTokens * number_size(type);
    values = keys + half;
    steps = reinterpret_cast<const float*>(values + half);
  }

  KvType type;
  const std::byte* keys;
  const std::byte* values;
  const float* steps;  // of int8 keys, then values
};

// What a query knows after some positions.
struct SoftmaxState {
  float maximum = -kInfinity;
  float sums[kLanes] = {};
  float out[kMaxHeadDim] = {};
};

// Positions [begin, end) of one step: end - begin <= kAttentionStep.
void attend_step(const AttentionArgs& args, const float* query, int begin, int end,
                 SoftmaxState& state) {
  const int dim = args.head_dim;
  float scores[kAttentionStep];
  std::fill(scores, scores + kAttentionStep, -kInfinity);
  for (int p = begin; p < end; ++p) {
    const CachedBlock block(args, p);
    const int t = p % kKvBlockTokens;
    float dot = 0.0f;
    for (int d = 0; d < dim; ++d) {
      dot = std::fma(query[d], cached_number(args.type, block.keys, d * kKvBlockTokens + t), dot);
    }
    const float scale = args.type == KvType::kInt8 ? args.scale * block.steps[t] : args.scale;
    scores[p - begin] = dot * scale;
  }
  const int blocks = (end - begin + kLanes - 1) / kLanes;
  float lanes[kLanes];
  std::copy(scores, scores + kLanes, lanes);
  for (int b = 1; b < blocks; ++b) {
    for (int l = 0; l < kLanes; ++l) lanes[l] = maximum(lanes[l], scores[b * kLanes + l]);
  }
  const float step_max = maximum(state.maximum, join_lanes(lanes, maximum));
  const float rescale = exponential(state.maximum - step_max);
  state.maximum = step_max;
  for (int b = 0; b < blocks; ++b) {
    for (int l = 0; l < kLanes; ++l) {
      float& weight = scores[b * kLanes + l];
      weight = exponential(weight - step_max);
      state.sums[l] = b == 0 ? std::fma(state.sums[l], rescale, weight) : state.sums[l] + weight;
    }
  }
  for (int d = 0; d < dim; ++d) state.out[d] *= rescale;
  for (int p = begin; p < end; ++p) {
    const CachedBlock block(args, p);
    const int t = p % kKvBlockTokens;
    float weight = scores[p - begin];
    if (args.type == KvType::kInt8) weight *= block.steps[kKvBlockTokens + t];
    for (int d = 0; d < dim; ++d) {
      state.out[d] = std::fma(
          weight, cached_number(args.type, block.values, static_cast<std::size_t>(t) * dim + d),
          state.out[d]);
    }
  }
}

// The state of one query after one chunk, as AttentionArgs lays it out. Nothing is attended to
// beyond the query's own length.
void attend_chunk(const AttentionArgs& args, const float* query, int length, int chunk,
                  float* out) {
  SoftmaxState state;
  const int end = std::min(length, (chunk + 1) * kAttentionChunk);
  for (int begin = chunk * kAttentionChunk; begin < end; begin += kAttentionStep) {
    attend_step(args, query, begin, std::min(end, begin + kAttentionStep), state);
  }
  out[0] = state.maximum;
  std::copy(state.sums, state.sums + kLanes, out + kLanes);
  std::copy(state.out, state.out + args.head_dim, out + 2 * kLanes);
}

void join_states(int head_dim, float* state, const float* part) {
  const float joint = maximum(state[0], part[0]);
  const float a = exponential(state[0] - joint);
  const float b = exponential(part[0] - joint);
  state[0] = joint;
  for (int i = kLanes; i < 2 * kLanes + head_dim; ++i) {
    state[i] = std::fma(part[i], b, state[i] * a);
  }
}

void attention_join(const AttentionArgs& args, float* state, const float* parts) {
  const int end = std::min(args.chunk_end, args.chunk_count());
  for (int chunk = args.chunk_begin; chunk < end; ++chunk) {
    for (int q = 0; q < args.queries(); ++q, parts += args.state_size()) {
      if (args.reaches(q, chunk)) {
        join_states(args.head_dim, state + q * args.state_size(), parts);
      }
    }
  }
}

void attention_finish(const AttentionArgs& args, const float* state) {
  for (int q = 0; q < args.queries(); ++q, state += args.state_size()) {
    float* out = args.out + args.query_offset(q);
    if (!args.reaches(q, 0)) {
      std::fill(out, out + args.head_dim, 0.0f);
      continue;
    }
    float lanes[kLanes];
    std::copy(state + kLanes, state + 2 * kLanes, lanes);
    const float inverse = 1.0f / sum_lanes(lanes);
    for (int d = 0; d < args.head_dim; ++d) out[d] = state[2 * kLanes + d] * inverse;
  }
}

void attention(const AttentionArgs& args) {
  const std::size_t size = args.state_size();
  std::vector<float> own(args.parts == nullptr ? args.queries() * size : 0);
  float* states = args.parts == nullptr ? own.data() : args.parts;
  const bool join = args.chunk_begin == 0;
  const int end = std::min(args.chunk_end, args.chunk_count());
  for (int chunk = args.chunk_begin; chunk < end; ++chunk) {
    for (int q = 0; q < args.queries(); ++q) {
      if (!args.reaches(q, chunk)) continue;
      const float* query = args.query + args.query_offset(q);
      const int length = args.length + q / args.group;
      float* state = states + q * size;
      if (chunk == args.chunk_begin || !join) {
        attend_chunk(args, query, length, chunk, state);
      } else {
        float part[2 * kLanes + kMaxHeadDim];
        attend_chunk(args, query, length, chunk, part);
        join_states(args.head_dim, state, part);
      }
    }
    if (!join) states += args.queries() * size;
  }
  if (args.parts == nullptr) attention_finish(args, states);
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
    .attention = attention,
    .attention_join = attention_join,
    .attention_finish = attention_finish,
    .relu2_mul = relu2_mul,
    .silu_mul = silu_mul,
    .rope = rope,
    .add = add,
    .exp = exponentials,
    .sparse = &kReferenceSparseKernels,
};

}  // namespace sterna

// Arm NEON with the dot product of Armv8.2 (also Apple M1, Graviton 2 and later).
//
// neon_i8mm.cc includes this file with STERNA_I8MM, STERNA_TABLE and STERNA_TABLE_NAME defined:
// that table is the same but for the ternary product of several rows.
#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/exp_constants.h"
#include "kernels/interleave.h"
#include "kernels/kernels.h"
#include "kernels/quantized.h"
#include "kernels/scratch.h"
#include "kernels/sparse_kernels.h"
#include "kernels/tables.h"

namespace sterna {

namespace {

constexpr int kQuads = 4;  // registers of four floats in sixteen lanes

// Sixteen floats in four registers; see lanes_kernels.inc for what each operation means.
struct Lanes {
  float32x4_t quad[kQuads];
};
struct IntLanes {
  int32x4_t quad[kQuads];
};

// Applies an operation to each register.
template <typename Result, typename Operation>
inline Result each(Operation operation) {
  return {{operation(0), operation(1), operation(2), operation(3)}};
}

Lanes broadcast(float x) {
  return each<Lanes>([=](int) { return vdupq_n_f32(x); });
}
Lanes zero() { return broadcast(0.0f); }
Lanes load(const float* p) {
  return each<Lanes>([=](int i) { return vld1q_f32(p + 4 * i); });
}
Lanes load_first(const float* p, int n) {
  float values[16] = {};
  std::memcpy(values, p, static_cast<std::size_t>(n) * sizeof *p);
  return load(values);
}
void store(float* p, Lanes x) {
  for (int i = 0; i < kQuads; ++i) vst1q_f32(p + 4 * i, x.quad[i]);
}
void store_first(float* p, int n, Lanes x) {
  float values[16];
  store(values, x);
  std::memcpy(p, values, static_cast<std::size_t>(n) * sizeof *p);
}
Lanes select_first(int n, Lanes a, Lanes b) {
  static const std::int32_t kIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return each<Lanes>([&](int i) {
    return vbslq_f32(vcltq_s32(vld1q_s32(kIndex + 4 * i), vdupq_n_s32(n)), a.quad[i], b.quad[i]);
  });
}
Lanes add(Lanes a, Lanes b) {
  return each<Lanes>([&](int i) { return vaddq_f32(a.quad[i], b.quad[i]); });
}
Lanes sub(Lanes a, Lanes b) {
  return each<Lanes>([&](int i) { return vsubq_f32(a.quad[i], b.quad[i]); });
}
Lanes mul(Lanes a, Lanes b) {
  return each<Lanes>([&](int i) { return vmulq_f32(a.quad[i], b.quad[i]); });
}
Lanes div(Lanes a, Lanes b) {
  return each<Lanes>([&](int i) { return vdivq_f32(a.quad[i], b.quad[i]); });
}
Lanes fma(Lanes a, Lanes b, Lanes c) {
  return each<Lanes>([&](int i) { return vfmaq_f32(c.quad[i], a.quad[i], b.quad[i]); });
}
// vmaxq_f32 treats NaN and zeros in its own way; the comparison does what kernels.h says.
Lanes maximum(Lanes a, Lanes b) {
  return each<Lanes>(
      [&](int i) { return vbslq_f32(vcgtq_f32(a.quad[i], b.quad[i]), a.quad[i], b.quad[i]); });
}
Lanes minimum(Lanes a, Lanes b) {
  return each<Lanes>(
      [&](int i) { return vbslq_f32(vcltq_f32(a.quad[i], b.quad[i]), a.quad[i], b.quad[i]); });
}
Lanes negate(Lanes a) {
  return each<Lanes>([&](int i) { return vnegq_f32(a.quad[i]); });
}
Lanes round_half_even(Lanes a) {
  return each<Lanes>([&](int i) { return vrndnq_f32(a.quad[i]); });
}

Lanes load_bf16(const std::uint16_t* p) {
  return each<Lanes>(
      [=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
Lanes load_bf16_first(const std::uint16_t* p, int n) {
  std::uint16_t bits[16] = {};
  std::memcpy(bits, p, static_cast<std::size_t>(n) * sizeof *p);
  return load_bf16(bits);
}

Lanes load_int8(const std::int8_t* p) {
  const int8x16_t codes = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(codes));
  const int16x8_t high = vmovl_s8(vget_high_s8(codes));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
Lanes load_int8_first(const std::int8_t* p, int n) {
  std::int8_t codes[16] = {};
  std::memcpy(codes, p, static_cast<std::size_t>(n));
  return load_int8(codes);
}

Lanes scale_by_power(Lanes x, Lanes n) {
  return each<Lanes>([&](int i) {
    const int32x4_t exponent = vcvtnq_s32_f32(n.quad[i]);
    const int32x4_t half = vshrq_n_s32(exponent, 1);
    const int32x4_t rest = vsubq_s32(exponent, half);
    const int32x4_t bias = vdupq_n_s32(127);
    const int32x4_t a = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t b = vshlq_n_s32(vaddq_s32(rest, bias), 23);
    return vmulq_f32(vmulq_f32(x.quad[i], vreinterpretq_f32_s32(a)), vreinterpretq_f32_s32(b));
  });
}

float sum_lanes(Lanes x) {
  const float32x4_t a = vaddq_f32(x.quad[0], x.quad[2]);
  const float32x4_t b = vaddq_f32(x.quad[1], x.quad[3]);
  const float32x4_t c = vaddq_f32(a, b);
  const float32x2_t d = vadd_f32(vget_low_f32(c), vget_high_f32(c));
  return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}
float max_lanes(Lanes x) {
  const Lanes halves = {{x.quad[2], x.quad[3], x.quad[2], x.quad[3]}};
  const Lanes a = maximum(x, halves);  // registers 0 and 1 count from here on
  const float32x4_t c = vbslq_f32(vcgtq_f32(a.quad[0], a.quad[1]), a.quad[0], a.quad[1]);
  const float32x2_t low = vget_low_f32(c);
  const float32x2_t high = vget_high_f32(c);
  const float32x2_t d = vbsl_f32(vcgt_f32(low, high), low, high);
  const float first = vget_lane_f32(d, 0);
  const float second = vget_lane_f32(d, 1);
  return first > second ? first : second;
}

IntLanes int_zero() {
  return each<IntLanes>([](int) { return vdupq_n_s32(0); });
}
IntLanes magnitude_bits(Lanes x) {
  return each<IntLanes>([&](int i) { return vreinterpretq_s32_f32(vabsq_f32(x.quad[i])); });
}
IntLanes int_maximum(IntLanes a, IntLanes b) {
  return each<IntLanes>([&](int i) { return vmaxq_s32(a.quad[i], b.quad[i]); });
}
IntLanes int_add(IntLanes a, IntLanes b) {
  return each<IntLanes>([&](int i) { return vaddq_s32(a.quad[i], b.quad[i]); });
}
IntLanes load_ints(const std::int32_t* p) {
  return each<IntLanes>([=](int i) { return vld1q_s32(p + 4 * i); });
}
Lanes int_to_float(IntLanes x) {
  return each<Lanes>([&](int i) { return vcvtq_f32_s32(x.quad[i]); });
}
constexpr std::int32_t kWideOffset = 0;
IntLanes add_quads(IntLanes sum, const std::uint8_t* w, const std::int8_t* x) {
  return each<IntLanes>([&](int i) {
    const int8x16_t weights = vreinterpretq_s8_u8(vld1q_u8(w + 16 * i));
    return vdotq_s32(sum.quad[i], weights, vld1q_s8(x + 16 * i));
  });
}
IntLanes add_wide_quads(IntLanes sum, const std::uint8_t* w, const std::int8_t* x) {
  return each<IntLanes>([&](int i) {
    const uint8x16_t flipped = veorq_u8(vld1q_u8(w + 16 * i), vdupq_n_u8(0x80));
    return vdotq_s32(sum.quad[i], vreinterpretq_s8_u8(flipped), vld1q_s8(x + 16 * i));
  });
}
IntLanes round_to_int(Lanes x) {
  return each<IntLanes>([&](int i) { return vcvtnq_s32_f32(x.quad[i]); });
}
void store_codes(std::int8_t* p, IntLanes x) {
  const int16x8_t low = vcombine_s16(vqmovn_s32(x.quad[0]), vqmovn_s32(x.quad[1]));
  const int16x8_t high = vcombine_s16(vqmovn_s32(x.quad[2]), vqmovn_s32(x.quad[3]));
  vst1q_s8(p, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
}
std::int32_t int_sum_lanes(IntLanes x) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(x.quad[0], x.quad[1]), vaddq_s32(x.quad[2], x.quad[3])));
}
std::int32_t int_max_lanes(IntLanes x) {
  return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.quad[0], x.quad[1]), vmaxq_s32(x.quad[2], x.quad[3])));
}

using CodeLanes = int32x4_t;
struct CodeWeights {
  int8x16_t quad[kQuads];
};
CodeLanes code_zero() { return vdupq_n_s32(0); }
CodeWeights load_weights(const std::uint8_t* p) {
  return each<CodeWeights>(
      [=](int i) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(0x80))); });
}
CodeLanes add_codes(CodeLanes sum, CodeWeights weights, const std::int8_t* x) {
  for (int i = 0; i < kQuads; ++i) sum = vdotq_s32(sum, weights.quad[i], vld1q_s8(x + 16 * i));
  return sum;
}
std::int32_t finish_codes(CodeLanes sum, std::int32_t) { return vaddvq_s32(sum); }
void load_halves(const std::uint8_t* high, const std::uint8_t* low, Lanes (&out)[4]) {
  const uint32x4_t mask = vdupq_n_u32(0xffff);
  const uint32x4_t magic = vdupq_n_u32(0x4b000000);
  for (int j = 0; j < kQuads; ++j) {
    const uint8x16_t h = vld1q_u8(high + 16 * j);
    const uint8x16_t l = vld1q_u8(low + 16 * j);
    const uint32x4_t pairs[2] = {vreinterpretq_u32_u8(vzip1q_u8(l, h)),
                                 vreinterpretq_u32_u8(vzip2q_u8(l, h))};
    for (int i = 0; i < 2; ++i) {
      out[2 * i].quad[j] = vreinterpretq_f32_u32(vorrq_u32(vandq_u32(pairs[i], mask), magic));
      out[2 * i + 1].quad[j] = vreinterpretq_f32_u32(vorrq_u32(vshrq_n_u32(pairs[i], 16), magic));
    }
  }
}

constexpr int kCodeRows = 2;    // weight rows at a time for several inputs of codes
constexpr int kCodeInputs = 4;  // inputs of codes at a time
constexpr int kDotRows = 2;     // weight rows at a time for several inputs
constexpr int kDotInputs = 3;   // inputs at a time
// Attention, for many queries at a time and for few:
constexpr int kScoreQueries = 4;    // queries against
constexpr int kScoreBlocks = 1;     // blocks of keys
constexpr int kFewScoreBlocks = 1;  // blocks of keys against four queries
constexpr int kValueQueries = 2;    // queries that take
constexpr int kValueChunks = 2;     // sixteens of the values
constexpr int kFewValueQueries = 2;
constexpr int kFewValueChunks = 2;

#include "kernels/lanes_kernels.inc"

// ---- ternary ----

// One row tile by M activation rows. A register holds four rows by four columns of codes, and the
// dot product takes the four matching activation codes of a row from one lane of its register.
template <int M>
void ternary_tile(const TernaryMatrix& w, const QuantizedRows& x, const std::int8_t* codes,
                  int tile, int m, float* y, std::size_t y_stride) {
  const std::size_t blocks = (static_cast<std::size_t>(w.cols) + kTileCols - 1) / kTileCols;
  const std::uint8_t* tiles = w.tiles + static_cast<std::size_t>(tile) * blocks * kTileBytes;
  const uint8x16_t mask = vdupq_n_u8(3);
  int32x4_t sums[M][kQuads];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int q = 0; q < kQuads; ++q) sums[i][q] = vdupq_n_s32(0);
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    int8x16_t inputs[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      inputs[i] = vld1q_s8(codes + (b * M + i) * kTileCols);
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQuads; ++q) {
      const uint8x16_t packed = vld1q_u8(tiles + b * kTileBytes + 16 * q);
      const int8x16_t step0 = vreinterpretq_s8_u8(vandq_u8(packed, mask));
      const int8x16_t step1 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 2), mask));
      const int8x16_t step2 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 4), mask));
      const int8x16_t step3 = vreinterpretq_s8_u8(vshrq_n_u8(packed, 6));
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        sums[i][q] = vdotq_laneq_s32(sums[i][q], step0, inputs[i], 0);
        sums[i][q] = vdotq_laneq_s32(sums[i][q], step1, inputs[i], 1);
        sums[i][q] = vdotq_laneq_s32(sums[i][q], step2, inputs[i], 2);
        sums[i][q] = vdotq_laneq_s32(sums[i][q], step3, inputs[i], 3);
      }
    }
  }
  const int rows = w.rows - tile * kTileRows;
  for (int i = 0; i < M; ++i) {
    float* out = y + static_cast<std::size_t>(m + i) * y_stride + tile * kTileRows;
    const int32x4_t correction = vdupq_n_s32(x.sums[m + i]);
    const float32x4_t factor = vdupq_n_f32(x.steps[m + i] * w.scale);
    const Lanes result = each<Lanes>(
        [&](int q) { return vmulq_f32(vcvtq_f32_s32(vsubq_s32(sums[i][q], correction)), factor); });
    if (rows >= kTileRows) {
      store(out, result);
    } else {
      store_first(out, rows, result);
    }
  }
}

using TileKernel = void (*)(const TernaryMatrix&, const QuantizedRows&, const std::int8_t*, int,
                            int, float*, std::size_t);

constexpr int kMostRows = 4;  // activation rows of one pass
constexpr TileKernel kPasses[kMostRows] = {ternary_tile<1>, ternary_tile<2>, ternary_tile<3>,
                                           ternary_tile<4>};

#if defined(STERNA_I8MM)
#include "kernels/i8mm_tiles.inc"
#endif

#include "kernels/grouped_neon.inc"

void ternary_matmul(const TernaryMatrix& w, const QuantizedRows& x, int tile_begin, int tile_end,
                    float* y, std::size_t y_stride) {
  if (x.rows <= 0) return;
  if (w.group != 0) return grouped_matmul(w, x, tile_begin, tile_end, y, y_stride);
#if defined(STERNA_I8MM)
  if (x.rows > 2) {
    matrix_matmul(w, x, tile_begin, tile_end, y, y_stride);
    return;
  }
#endif
  const int passes = pass_count(x.rows, kMostRows);
  const std::int8_t* codes = interleave_rows(x, w.cols, passes);
  const std::size_t blocks = (static_cast<std::size_t>(w.cols) + kTileCols - 1) / kTileCols;
  // A tile meets all rows before the next: it stays in the cache.
  for (int tile = tile_begin; tile < tile_end; ++tile) {
    for (int pass = 0; pass < passes; ++pass) {
      const int m = pass_begin(x.rows, passes, pass);
      const int rows = pass_begin(x.rows, passes, pass + 1) - m;
      kPasses[rows - 1](w, x, codes + m * blocks * kTileCols, tile, m, y, y_stride);
    }
  }
}

#include "kernels/sparse_neon.inc"

// Needs the registers of the file above.
#include "kernels/sparse_kernels.inc"

}  // namespace

#if !defined(STERNA_TABLE)
#define STERNA_TABLE kNeonDotprodKernels
#define STERNA_TABLE_NAME "neon_dotprod"
#endif

#include "kernels/lanes_table.inc"

}  // namespace sterna

#endif

// AVX2 with fused multiply-add: x86-64 processors from about 2013.
//
// Tables that have AVX2 and a dot product of bytes include this file with STERNA_DOT_256,
// STERNA_TABLE and STERNA_TABLE_NAME defined: they are the same but for the ternary product.
#if defined(__x86_64__)

#include <immintrin.h>

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

// Sixteen floats in two registers; see lanes_kernels.inc for what each operation means.
struct Lanes {
  __m256 low;
  __m256 high;
};
struct IntLanes {
  __m256i low;
  __m256i high;
};

// Lanes below n of eight, counted from `begin`.
__m256i first(int n, int begin) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - begin), lane);
}

Lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
Lanes broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
Lanes load_first(const float* p, int n) {
  return {_mm256_maskload_ps(p, first(n, 0)), _mm256_maskload_ps(p + 8, first(n, 8))};
}
void store(float* p, Lanes x) {
  _mm256_storeu_ps(p, x.low);
  _mm256_storeu_ps(p + 8, x.high);
}
void store_first(float* p, int n, Lanes x) {
  _mm256_maskstore_ps(p, first(n, 0), x.low);
  _mm256_maskstore_ps(p + 8, first(n, 8), x.high);
}
Lanes select_first(int n, Lanes a, Lanes b) {
  return {_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(first(n, 0))),
          _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(first(n, 8)))};
}
Lanes add(Lanes a, Lanes b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
Lanes sub(Lanes a, Lanes b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
Lanes mul(Lanes a, Lanes b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
Lanes div(Lanes a, Lanes b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
Lanes maximum(Lanes a, Lanes b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
Lanes minimum(Lanes a, Lanes b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
Lanes negate(Lanes a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}
Lanes round_half_even(Lanes a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
}

__m256 widen_bf16(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
Lanes load_bf16(const std::uint16_t* p) {
  const auto* bits = reinterpret_cast<const __m128i*>(p);
  return {widen_bf16(_mm_loadu_si128(bits)), widen_bf16(_mm_loadu_si128(bits + 1))};
}
Lanes load_bf16_first(const std::uint16_t* p, int n) {
  std::uint16_t bits[16] = {};
  std::memcpy(bits, p, static_cast<std::size_t>(n) * sizeof *p);
  return load_bf16(bits);
}

__m256 widen_int8(__m128i codes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)); }
Lanes load_int8(const std::int8_t* p) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {widen_int8(codes), widen_int8(_mm_unpackhi_epi64(codes, codes))};
}
Lanes load_int8_first(const std::int8_t* p, int n) {
  std::int8_t codes[16] = {};
  std::memcpy(codes, p, static_cast<std::size_t>(n));
  return load_int8(codes);
}

__m256 scale_half(__m256 x, __m256 n) {
  const __m256i exponent = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(exponent, 1);
  const __m256i rest = _mm256_sub_epi32(exponent, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}
Lanes scale_by_power(Lanes x, Lanes n) {
  return {scale_half(x.low, n.low), scale_half(x.high, n.high)};
}

float sum_lanes(Lanes x) {
  const __m256 a = _mm256_add_ps(x.low, x.high);
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
float max_lanes(Lanes x) {
  const __m256 a = _mm256_max_ps(x.low, x.high);
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

IntLanes int_zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
IntLanes magnitude_bits(Lanes x) {
  const __m256i mask = _mm256_set1_epi32(INT32_MAX);
  return {_mm256_and_si256(_mm256_castps_si256(x.low), mask),
          _mm256_and_si256(_mm256_castps_si256(x.high), mask)};
}
IntLanes int_maximum(IntLanes a, IntLanes b) {
  return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)};
}
IntLanes int_add(IntLanes a, IntLanes b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
IntLanes load_ints(const std::int32_t* p) {
  const auto* ints = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(ints), _mm256_loadu_si256(ints + 1)};
}
Lanes int_to_float(IntLanes x) { return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)}; }
constexpr std::int32_t kWideOffset = 0;
__m256i four_products(__m256i sum, __m256i w, __m256i x) {
#if defined(STERNA_DOT_256)
  return STERNA_DOT_256(sum, w, x);
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
#endif
}
IntLanes add_quads(IntLanes sum, const std::uint8_t* w, const std::int8_t* x) {
  const auto* weights = reinterpret_cast<const __m256i*>(w);
  const auto* codes = reinterpret_cast<const __m256i*>(x);
  return {four_products(sum.low, _mm256_loadu_si256(weights), _mm256_load_si256(codes)),
          four_products(sum.high, _mm256_loadu_si256(weights + 1), _mm256_load_si256(codes + 1))};
}
// The signs go to the weights, so that two products never leave 16 bits.
__m256i four_wide_products(__m256i sum, __m256i w, __m256i x) {
  const __m256i weights = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
  return four_products(sum, _mm256_abs_epi8(x), _mm256_sign_epi8(weights, x));
}
IntLanes add_wide_quads(IntLanes sum, const std::uint8_t* w, const std::int8_t* x) {
  const auto* weights = reinterpret_cast<const __m256i*>(w);
  const auto* codes = reinterpret_cast<const __m256i*>(x);
  return {
      four_wide_products(sum.low, _mm256_loadu_si256(weights), _mm256_load_si256(codes)),
      four_wide_products(sum.high, _mm256_loadu_si256(weights + 1), _mm256_load_si256(codes + 1))};
}
IntLanes round_to_int(Lanes x) { return {_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)}; }
void store_codes(std::int8_t* p, IntLanes x) {
  const __m128i low =
      _mm_packs_epi32(_mm256_castsi256_si128(x.low), _mm256_extracti128_si256(x.low, 1));
  const __m128i high =
      _mm_packs_epi32(_mm256_castsi256_si128(x.high), _mm256_extracti128_si256(x.high, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}
std::int32_t int_sum_lanes(IntLanes x) {
  const __m256i a = _mm256_add_epi32(x.low, x.high);
  const __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i c = _mm_add_epi32(b, _mm_unpackhi_epi64(b, b));
  return _mm_cvtsi128_si32(c) + _mm_extract_epi32(c, 1);
}
std::int32_t int_max_lanes(IntLanes x) {
  const __m256i a = _mm256_max_epi32(x.low, x.high);
  const __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i c = _mm_max_epi32(b, _mm_unpackhi_epi64(b, b));
  return _mm_cvtsi128_si32(_mm_max_epi32(c, _mm_shuffle_epi32(c, 1)));
}

// |x| times the weight with the sign of x: pairs of products reach 2 * 127 * 127, which fits int16.
using CodeLanes = __m256i;
struct CodeWeights {
  __m256i half[2];
};
CodeLanes code_zero() { return _mm256_setzero_si256(); }
CodeWeights load_weights(const std::uint8_t* p) {
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(0x80));
  const auto* codes = reinterpret_cast<const __m256i*>(p);
  return {{_mm256_xor_si256(_mm256_load_si256(codes), offset),
           _mm256_xor_si256(_mm256_load_si256(codes + 1), offset)}};
}
CodeLanes add_codes(CodeLanes sum, CodeWeights weights, const std::int8_t* x) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int h = 0; h < 2; ++h) {
    const __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(x) + h);
    const __m256i pairs =
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(weights.half[h], codes));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
  }
  return sum;
}
std::int32_t finish_codes(CodeLanes sum, std::int32_t) {
  return int_sum_lanes({sum, _mm256_setzero_si256()});
}
void load_halves(const std::uint8_t* high, const std::uint8_t* low, Lanes (&out)[4]) {
  const __m256i mask = _mm256_set1_epi32(0xffff);
  const __m256i magic = _mm256_set1_epi32(0x4b000000);
  __m256 parts[2][4];
  for (int half = 0; half < 2; ++half) {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high) + half);
    const __m256i l = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low) + half);
    const __m256i pairs[2] = {_mm256_unpacklo_epi8(l, h), _mm256_unpackhi_epi8(l, h)};
    for (int i = 0; i < 2; ++i) {
      const __m256i even = _mm256_and_si256(pairs[i], mask);
      const __m256i odd = _mm256_srli_epi32(pairs[i], 16);
      parts[half][2 * i] = _mm256_castsi256_ps(_mm256_or_si256(even, magic));
      parts[half][2 * i + 1] = _mm256_castsi256_ps(_mm256_or_si256(odd, magic));
    }
  }
  for (int q = 0; q < 4; ++q) out[q] = {parts[0][q], parts[1][q]};
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

// Four activation codes, in every 32-bit lane.
__m256i broadcast_codes(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

__m256i load_codes(const std::uint8_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}

// What a pass over row tiles works on: activation rows from m on, side by side in codes.
struct Pass {
  const TernaryMatrix& w;
  const QuantizedRows& x;
  const std::int8_t* codes;
  int m;
  std::size_t blocks;  // of sixteen columns
  float* y;
  std::size_t y_stride;

  const std::uint8_t* tile_at(int tile) const {
    return w.tiles + static_cast<std::size_t>(tile) * blocks * kTileBytes;
  }
};

// Two halves of eight rows.
void finish_tile(const Pass& pass, int tile, int activation, const __m256i (&totals)[2]) {
  const int m = pass.m + activation;
  const __m256i correction = _mm256_set1_epi32(pass.x.sums[m]);
  const __m256 factor = _mm256_set1_ps(pass.x.steps[m] * pass.w.scale);
  for (int h = 0; h < 2; ++h) {
    const int row = tile * kTileRows + 8 * h;
    const int rows = pass.w.rows - row;
    const __m256i exact = _mm256_sub_epi32(totals[h], correction);
    const __m256 result = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), factor);
    float* out = pass.y + static_cast<std::size_t>(m) * pass.y_stride + row;
    if (rows >= 8) {
      _mm256_storeu_ps(out, result);
    } else if (rows > 0) {
      _mm256_maskstore_ps(out, first(rows, 0), result);
    }
  }
}

#if defined(STERNA_DOT_256)

// The empty statement is that of add_pairs in avx2_tiles.inc.
__m256i dot(__m256i sum, __m256i weights, __m256i codes) {
  sum = STERNA_DOT_256(sum, weights, codes);
  __asm__("" : "+x"(sum));
  return sum;
}

#include "kernels/vnni256_tiles.inc"

#else

#include "kernels/avx2_tiles.inc"

#endif

#include "kernels/grouped_avx2.inc"

void ternary_matmul(const TernaryMatrix& w, const QuantizedRows& x, int tile_begin, int tile_end,
                    float* y, std::size_t y_stride) {
  if (x.rows <= 0) return;
  if (w.group != 0) return grouped_matmul(w, x, tile_begin, tile_end, y, y_stride);
  const int passes = pass_count(x.rows, kMostRows);
  const std::int8_t* codes = interleave_rows(x, w.cols, passes);
  const std::size_t blocks = (static_cast<std::size_t>(w.cols) + kTileCols - 1) / kTileCols;
  Pass pass{w, x, codes, 0, blocks, y, y_stride};
  if (x.rows == 1) {
    for (int tile = tile_begin; tile < tile_end; ++tile) ternary_single(pass, tile);
    return;
  }
  // A tile meets all rows before the next: it stays in the cache.
  for (int tile = tile_begin; tile < tile_end; ++tile) {
    for (int number = 0; number < passes; ++number) {
      pass.m = pass_begin(x.rows, passes, number);
      pass.codes = codes + pass.m * blocks * kTileCols;
      // Only the first pass asks for the next tile, and the last tile for nothing new.
      const bool ask = number == 0 && tile + 1 < tile_end;
      kTiles[pass_begin(x.rows, passes, number + 1) - pass.m](pass, tile,
                                                              pass.tile_at(ask ? tile + 1 : tile));
    }
  }
}

#include "kernels/sparse_avx2.inc"
#include "kernels/sparse_kernels.inc"

}  // namespace

#if !defined(STERNA_TABLE)
#define STERNA_TABLE kAvx2Kernels
#define STERNA_TABLE_NAME "avx2"
#endif

#include "kernels/lanes_table.inc"

}  // namespace sterna

#endif

// AVX-512 with VNNI: Intel from Ice Lake, AMD from Zen 4.
#if defined(__x86_64__)

// GCC's own intrinsics read a register they call undefined, and GCC 11 to 13 warn of it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

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

// Sixteen floats; see lanes_kernels.inc for what each operation means.
using Lanes = __m512;

__mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

Lanes zero() { return _mm512_setzero_ps(); }
Lanes broadcast(float x) { return _mm512_set1_ps(x); }
Lanes load(const float* p) { return _mm512_loadu_ps(p); }
Lanes load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
void store(float* p, Lanes x) { _mm512_storeu_ps(p, x); }
void store_first(float* p, int n, Lanes x) { _mm512_mask_storeu_ps(p, first(n), x); }
Lanes select_first(int n, Lanes a, Lanes b) { return _mm512_mask_blend_ps(first(n), b, a); }
Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
Lanes sub(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
Lanes mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
Lanes div(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
Lanes maximum(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
Lanes minimum(Lanes a, Lanes b) { return _mm512_min_ps(a, b); }
Lanes negate(Lanes a) {
  return _mm512_castsi512_ps(
      _mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(INT32_MIN)));
}
Lanes round_half_even(Lanes a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

Lanes load_bf16(const std::uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
Lanes load_bf16_first(const std::uint16_t* p, int n) {
  const __m256i bits = _mm256_maskz_loadu_epi16(first(n), p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

Lanes load_int8(const std::int8_t* p) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
}
Lanes load_int8_first(const std::int8_t* p, int n) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
}

Lanes scale_by_power(Lanes x, Lanes n) {
  const __m512i exponent = _mm512_cvtps_epi32(n);
  const __m512i half = _mm512_srai_epi32(exponent, 1);
  const __m512i rest = _mm512_sub_epi32(exponent, half);
  const __m512i bias = _mm512_set1_epi32(127);
  const Lanes a = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(half, bias), 23));
  const Lanes b = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(rest, bias), 23));
  return mul(mul(x, a), b);
}

float sum_lanes(Lanes x) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
float max_lanes(Lanes x) {
  const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

using IntLanes = __m512i;

IntLanes int_zero() { return _mm512_setzero_si512(); }
IntLanes magnitude_bits(Lanes x) {
  return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(INT32_MAX));
}
IntLanes int_maximum(IntLanes a, IntLanes b) { return _mm512_max_epi32(a, b); }
IntLanes int_add(IntLanes a, IntLanes b) { return _mm512_add_epi32(a, b); }
IntLanes load_ints(const std::int32_t* p) { return _mm512_loadu_si512(p); }
Lanes int_to_float(IntLanes x) { return _mm512_cvtepi32_ps(x); }
constexpr std::int32_t kWideOffset = 128;
IntLanes add_quads(IntLanes sum, const std::uint8_t* w, const std::int8_t* x) {
  return _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(w), _mm512_load_si512(x));
}
IntLanes add_wide_quads(IntLanes sum, const std::uint8_t* w, const std::int8_t* x) {
  return add_quads(sum, w, x);
}
IntLanes round_to_int(Lanes x) { return _mm512_cvtps_epi32(x); }
void store_codes(std::int8_t* p, IntLanes x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(x));
}
std::int32_t int_sum_lanes(IntLanes x) { return _mm512_reduce_add_epi32(x); }
std::int32_t int_max_lanes(IntLanes x) { return _mm512_reduce_max_epi32(x); }

// Weights stay unsigned, as the dot product wants them: 128 times the sum of x is taken off at the
// end.
using CodeLanes = __m512i;
using CodeWeights = __m512i;
CodeLanes code_zero() { return _mm512_setzero_si512(); }
CodeWeights load_weights(const std::uint8_t* p) { return _mm512_load_si512(p); }
CodeLanes add_codes(CodeLanes sum, CodeWeights weights, const std::int8_t* x) {
  return _mm512_dpbusd_epi32(sum, weights, _mm512_load_si512(x));
}
std::int32_t finish_codes(CodeLanes sum, std::int32_t x_sum) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(_mm512_reduce_add_epi32(sum)) -
                                   128u * static_cast<std::uint32_t>(x_sum));
}
void load_halves(const std::uint8_t* high, const std::uint8_t* low, Lanes (&out)[4]) {
  const __m512i h = _mm512_loadu_si512(high);
  const __m512i l = _mm512_loadu_si512(low);
  const __m512i pairs[2] = {_mm512_unpacklo_epi8(l, h), _mm512_unpackhi_epi8(l, h)};
  const __m512i mask = _mm512_set1_epi32(0xffff);
  const __m512i magic = _mm512_set1_epi32(0x4b000000);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    // (pairs & mask) | magic
    out[2 * i] = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(pairs[i], mask, magic, 0xea));
    out[2 * i + 1] = _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32(pairs[i], 16), magic));
  }
}

constexpr int kCodeRows = 4;    // weight rows at a time for several inputs of codes
constexpr int kCodeInputs = 4;  // inputs of codes at a time
constexpr int kDotRows = 4;     // weight rows at a time for several inputs
constexpr int kDotInputs = 6;   // inputs at a time
// Attention, for many queries at a time and for few:
constexpr int kScoreQueries = 8;    // queries against
constexpr int kScoreBlocks = 2;     // blocks of keys
constexpr int kFewScoreBlocks = 4;  // blocks of keys against four queries
constexpr int kValueQueries = 4;    // queries that take
constexpr int kValueChunks = 4;     // sixteens of the values
constexpr int kFewValueQueries = 2;
constexpr int kFewValueChunks = 8;

#include "kernels/lanes_kernels.inc"

// ---- ternary ----

constexpr int kBlockSteps = 4;  // four columns of a row at each two-bit position

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

// Four activation codes, in every 32-bit lane.
__m512i broadcast_codes(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

void finish_tile(const Pass& pass, int tile, int row, __m512i total) {
  const int m = pass.m + row;
  const __m512i exact = _mm512_sub_epi32(total, _mm512_set1_epi32(pass.x.sums[m]));
  const __m512 factor = _mm512_set1_ps(pass.x.steps[m] * pass.w.scale);
  const __m512 result = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), factor);
  float* out = pass.y + static_cast<std::size_t>(m) * pass.y_stride +
               static_cast<std::size_t>(tile) * kTileRows;
  const int rows = pass.w.rows - tile * kTileRows;
  if (rows >= kTileRows) {
    _mm512_storeu_ps(out, result);
  } else {
    _mm512_mask_storeu_ps(out, first(rows), result);
  }
}

// One row tile by one activation row: weights stream from memory in address order. Codes stay where
// they are in their byte: the mask of step s leaves 4^s times the code, which is divided out of
// that step's own sums at the end. That is the cheapest unpacking, and the four sums hide the
// latency of the dot product.
void ternary_single(const Pass& pass, int tile) {
  const std::uint8_t* block = pass.tile_at(tile);
  const __m512i masks[kBlockSteps] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c),
                                      _mm512_set1_epi8(0x30),
                                      _mm512_set1_epi8(static_cast<char>(0xc0))};
  __m512i sums[kBlockSteps];
#pragma GCC unroll 4
  for (int s = 0; s < kBlockSteps; ++s) sums[s] = _mm512_setzero_si512();
  for (std::size_t b = 0; b < pass.blocks; ++b, block += kTileBytes) {
    touch_page_ahead(block, kTileBytes);
    const __m512i packed = _mm512_load_si512(block);
#pragma GCC unroll 4
    for (int s = 0; s < kBlockSteps; ++s) {
      const __m512i four = broadcast_codes(pass.codes + b * kTileCols + 4 * s);
      sums[s] = _mm512_dpbusd_epi32(sums[s], _mm512_and_si512(packed, masks[s]), four);
    }
  }
  __m512i total = sums[0];
#pragma GCC unroll 4
  for (int s = 1; s < kBlockSteps; ++s) {
    total = _mm512_add_epi32(total, _mm512_srai_epi32(sums[s], 2 * s));
  }
  finish_tile(pass, tile, 0, total);
}

// T row tiles by M activation rows, which share both the unpacking and the loads of activations.
// T tiles are T streams, which memory delivers slower than one: the tiles that follow, at `next`,
// are asked for in address order meanwhile.
template <int T, int M>
void ternary_tiles(const Pass& pass, int tile, const std::uint8_t* next) {
  const std::uint8_t* tiles = pass.tile_at(tile);
  const std::int8_t* codes = pass.codes;
  const std::size_t blocks = pass.blocks;
  const __m512i mask = _mm512_set1_epi8(0x03);
  __m512i sums[T][M];
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) sums[t][i] = _mm512_setzero_si512();
  }
  for (std::size_t b = 0; b < blocks; ++b, next += T * kTileBytes) {
    touch_page_ahead(next, T * kTileBytes);
    fetch<T * kTileBytes>(next);
    __m512i packed[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      packed[t] = _mm512_load_si512(tiles + (t * blocks + b) * kTileBytes);
    }
#pragma GCC unroll 4
    for (int s = 0; s < kBlockSteps; ++s) {
      __m512i weights[T];
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        weights[t] = _mm512_and_si512(_mm512_srli_epi32(packed[t], 2 * s), mask);
      }
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        const __m512i four = broadcast_codes(codes + (b * M + i) * kTileCols + 4 * s);
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) {
          sums[t][i] = _mm512_dpbusd_epi32(sums[t][i], weights[t], four);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) finish_tile(pass, tile + t, i, sums[t][i]);
  }
}

using TilesKernel = void (*)(const Pass&, int, const std::uint8_t*);

constexpr int kMostRows = 8;  // activation rows of one pass
// By number of activation rows: for four tiles up to four rows, for two beyond; and for one.
constexpr TilesKernel kGroups[kMostRows + 1] = {
    nullptr,
    nullptr,
    ternary_tiles<4, 2>,
    ternary_tiles<4, 3>,
    ternary_tiles<4, 4>,
    ternary_tiles<2, 5>,
    ternary_tiles<2, 6>,
    ternary_tiles<2, 7>,
    ternary_tiles<2, 8>,
};
constexpr TilesKernel kSingles[kMostRows + 1] = {
    nullptr,
    nullptr,
    ternary_tiles<1, 2>,
    ternary_tiles<1, 3>,
    ternary_tiles<1, 4>,
    ternary_tiles<1, 5>,
    ternary_tiles<1, 6>,
    ternary_tiles<1, 7>,
    ternary_tiles<1, 8>,
};

int group_tiles(int rows) { return rows <= 4 ? 4 : 2; }

// All tiles of a group by the rows of one pass.
void ternary_group(const Pass& pass, int rows, int tile, int tile_end, const std::uint8_t* next) {
  const int step = group_tiles(rows);
  for (; tile + step <= tile_end; tile += step) kGroups[rows](pass, tile, next);
  for (; tile < tile_end; ++tile) kSingles[rows](pass, tile, next);
}

#include "kernels/grouped_avx512.inc"

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
  // A group of tiles meets all rows before the next group: it stays in the cache.
  const int step = passes > 1 ? 4 : group_tiles(x.rows);
  for (int tile = tile_begin; tile < tile_end; tile += step) {
    const int end = tile + step < tile_end ? tile + step : tile_end;
    for (int number = 0; number < passes; ++number) {
      pass.m = pass_begin(x.rows, passes, number);
      pass.codes = codes + pass.m * blocks * kTileCols;
      // Only the first pass asks for the next group, and the last group for nothing new.
      const bool ask = number == 0 && end < tile_end;
      ternary_group(pass, pass_begin(x.rows, passes, number + 1) - pass.m, tile, end,
                    pass.tile_at(ask ? end : tile));
    }
  }
}

#include "kernels/sparse_avx512.inc"
#include "kernels/sparse_kernels.inc"

}  // namespace

#define STERNA_TABLE kAvx512VnniKernels
#define STERNA_TABLE_NAME "avx512_vnni"
#include "kernels/lanes_table.inc"

}  // namespace sterna

#endif

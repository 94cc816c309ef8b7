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

#include "kernels/exp_constants.h"
#include "kernels/interleave.h"
#include "kernels/kernels.h"
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
IntLanes round_to_int(Lanes x) { return _mm512_cvtps_epi32(x); }
void store_codes(std::int8_t* p, IntLanes x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(x));
}
std::int32_t int_sum_lanes(IntLanes x) { return _mm512_reduce_add_epi32(x); }
std::int32_t int_max_lanes(IntLanes x) { return _mm512_reduce_max_epi32(x); }

constexpr int kDotRows = 4;      // weight rows at a time for several inputs
constexpr int kDotInputs = 6;    // inputs at a time
constexpr int kScoreHeads = 4;   // query heads at a time against the keys of a block
constexpr int kValueHeads = 2;   // query heads at a time for the values of a block
constexpr int kValueChunks = 8;  // sixteens of head_dim at a time

#include "kernels/lanes_kernels.inc"

// ---- ternary ----

constexpr int kBlockSteps = 4;  // four columns of a row at each two-bit position

// Four activation codes of row m, in every 32-bit lane.
__m512i broadcast_codes(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

void finish_tile(const TernaryMatrix& w, const QuantizedRows& x, int tile, int m, __m512i total,
                 float* y, std::size_t y_stride) {
  const __m512i exact = _mm512_sub_epi32(total, _mm512_set1_epi32(x.sums[m]));
  const __m512 result =
      _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_set1_ps(x.steps[m] * w.scale));
  float* out = y + static_cast<std::size_t>(m) * y_stride + static_cast<std::size_t>(tile) * 16;
  const int rows = w.rows - tile * kTileRows;
  if (rows >= kTileRows) {
    _mm512_storeu_ps(out, result);
  } else {
    _mm512_mask_storeu_ps(out, first(rows), result);
  }
}

// One row tile by M activation rows, so that weights stream from memory in address order. Codes
// stay where they are in their byte: the mask of step s leaves 4^s times the code, which is divided
// out of that step's own sums at the end. That is the cheapest unpacking, and four sums per output
// hide the latency of the dot product.
template <int M>
void ternary_tile_few(const TernaryMatrix& w, const QuantizedRows& x, const std::int8_t* codes,
                      int tile, int m, float* y, std::size_t y_stride) {
  const std::size_t blocks = (static_cast<std::size_t>(w.cols) + kTileCols - 1) / kTileCols;
  const std::uint8_t* tiles = w.tiles + static_cast<std::size_t>(tile) * blocks * kTileBytes;
  const __m512i masks[kBlockSteps] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c),
                                      _mm512_set1_epi8(0x30),
                                      _mm512_set1_epi8(static_cast<char>(0xc0))};
  __m512i sums[M][kBlockSteps];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int s = 0; s < kBlockSteps; ++s) sums[i][s] = _mm512_setzero_si512();
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::uint8_t* block = tiles + b * kTileBytes;
    touch_page_ahead(block, kTileBytes);
    const __m512i packed = _mm512_load_si512(block);
#pragma GCC unroll 4
    for (int s = 0; s < kBlockSteps; ++s) {
      const __m512i weights = _mm512_and_si512(packed, masks[s]);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        const std::int8_t* four = codes + (b * M + i) * kTileCols + 4 * s;
        sums[i][s] = _mm512_dpbusd_epi32(sums[i][s], weights, broadcast_codes(four));
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
    __m512i total = sums[i][0];
#pragma GCC unroll 4
    for (int s = 1; s < kBlockSteps; ++s) {
      total = _mm512_add_epi32(total, _mm512_srai_epi32(sums[i][s], 2 * s));
    }
    finish_tile(w, x, tile, m + i, total, y, y_stride);
  }
}

// One row tile by M activation rows with one sum per output: codes are shifted down, and the cost
// of that is shared by the many rows.
template <int M>
void ternary_tile_many(const TernaryMatrix& w, const QuantizedRows& x, const std::int8_t* codes,
                       int tile, int m, float* y, std::size_t y_stride) {
  const std::size_t blocks = (static_cast<std::size_t>(w.cols) + kTileCols - 1) / kTileCols;
  const std::uint8_t* tiles = w.tiles + static_cast<std::size_t>(tile) * blocks * kTileBytes;
  const __m512i mask = _mm512_set1_epi8(0x03);
  __m512i sums[M];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) sums[i] = _mm512_setzero_si512();
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::uint8_t* block = tiles + b * kTileBytes;
    touch_page_ahead(block, kTileBytes);
    const __m512i packed = _mm512_load_si512(block);
#pragma GCC unroll 4
    for (int s = 0; s < kBlockSteps; ++s) {
      const __m512i weights = _mm512_and_si512(_mm512_srli_epi32(packed, 2 * s), mask);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        const std::int8_t* four = codes + (b * M + i) * kTileCols + 4 * s;
        sums[i] = _mm512_dpbusd_epi32(sums[i], weights, broadcast_codes(four));
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) finish_tile(w, x, tile, m + i, sums[i], y, y_stride);
}

using TileKernel = void (*)(const TernaryMatrix&, const QuantizedRows&, const std::int8_t*, int,
                            int, float*, std::size_t);

constexpr int kMostRows = 8;  // activation rows of one pass
// By number of activation rows, from 1.
constexpr TileKernel kPasses[kMostRows] = {
    ternary_tile_few<1>,  ternary_tile_few<2>,  ternary_tile_few<3>,  ternary_tile_few<4>,
    ternary_tile_many<5>, ternary_tile_many<6>, ternary_tile_many<7>, ternary_tile_many<8>};

void ternary_matmul(const TernaryMatrix& w, const QuantizedRows& x, int tile_begin, int tile_end,
                    float* y, std::size_t y_stride) {
  if (x.rows <= 0) return;
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

}  // namespace

const Kernels kAvx512VnniKernels = {
    .name = "avx512_vnni",
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

#endif

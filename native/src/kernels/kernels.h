// One interface for every instruction set, chosen at run time.
//
// Every function of every table gives the same bits as `reference.cc` for the same input:
// integer sums are exact, and floating-point reductions follow one fixed order, so a model
// answers alike on AVX2, AVX-512 and NEON, for any batch and any number of threads.
//
// The fixed order of a sum over n floats: sixteen lanes that start at +0, lane l takes elements
// l, l+16, ... with one fused multiply-add each (a missing element leaves its lane alone); then
// lanes are added pairwise, l + (l+8), l + (l+4), l + (l+2), l + (l+1). Nothing else is contracted
// or reassociated (-ffp-contract=off). A maximum of two floats is a > b ? a : b everywhere. Where a
// result is NaN, it is NaN in every table; its sign and payload are not specified.
//
// exp(x) is one polynomial, the same everywhere: see exp_constants.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "sterna/kv_type.h"

namespace sterna {

struct SparseKernels;
struct QuantizedMatrix;
struct QuantizedStates;

inline constexpr int kTileRows = 16;       // output rows interleaved in one tile
inline constexpr int kTileCols = 16;       // input columns in one 64-byte block of a tile
inline constexpr int kTileBytes = 64;      // 16 x 16 codes of two bits
inline constexpr int kKvBlockTokens = 16;  // positions in one block of the KV cache
inline constexpr int kMaxGroup = 64;       // query heads that share one KV head
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kHeadDimStep = 4;       // head_dim is a multiple of it
inline constexpr int kAttentionStep = 64;    // positions between two updates of a softmax
inline constexpr int kAttentionChunk = 256;  // positions whose softmax stands for itself
inline constexpr int kMaxAttentionQueries = 64;
static_assert(kMaxGroup <= kMaxAttentionQueries, "a row fits a tile of queries");
// Up to here integer sums fit int32 on every path and convert to float exactly.
inline constexpr int kMaxTernaryCols = 131072;
inline constexpr int kMaxCodeCols = 65536;  // as many for products of two int8

// How the codes of a ternary matrix stand in memory.
enum class TernaryLayout {
  kTiles,    // for products with the whole matrix
  kRows,     // a row in one piece, to read only some of them
  kColumns,  // a column in one piece
};

// A ternary matrix [rows, cols] as 2-bit codes t + 1 in {0, 1, 2}, in one of three layouts.
// kTiles: [row_tiles][col_blocks][64] bytes, row_tiles = ceil(rows / 16), col_blocks =
// ceil(cols / 16). Byte 4 * r + j of a block holds row r, columns 4 * s + j at bits 2s..2s+1
// (s = 0..3), so that shifting a 32-bit lane by 2s and masking with 3 leaves four consecutive
// columns of one row, ready for an unsigned-by-signed dot product.
// kRows: [rows][lines][64], a line being 256 columns. Byte 4 * b + j of a line holds columns
// 16 * b + 4 * s + j at bits 2s..2s+1: the row's bytes of sixteen tile blocks, side by side.
// kColumns: [cols][lines][64], a line being 256 rows. Byte 16 * l + 4 * q + i of a line holds rows
// 64 * q + 16 * s + 4 * l + i at bits 2s..2s+1: interleaving the bytes of four columns leaves four
// columns of one row in each 32-bit lane, rows in order.
// Rows and columns beyond the matrix hold code 1 (zero); code 3 must not occur.
// cols <= kMaxTernaryCols. The address is 64-byte aligned. packing.h writes and reads all three.
struct TernaryMatrix {
  const std::uint8_t* tiles = nullptr;
  int rows = 0;
  int cols = 0;
  float scale = 1.0f;  // y = integer sum * step * scale
  TernaryLayout layout = TernaryLayout::kTiles;
  // Columns of a row that share a scale, a multiple of 64; the last group may be shorter. 0:
  // `scale` is that of the whole matrix. With groups, one of the two is set,
  // [row_tiles][groups][16], and the layout is kTiles. Rows beyond the matrix may have any scale.
  int group = 0;
  const std::uint16_t* half_scales = nullptr;  // IEEE half
  const float* float_scales = nullptr;
  int groups() const { return group == 0 ? 1 : (cols + group - 1) / group; }
  int row_tiles() const { return (rows + kTileRows - 1) / kTileRows; }
  int col_blocks() const { return (cols + kTileCols - 1) / kTileCols; }
  // Of one row (kRows) or one column (kColumns).
  int line_count() const { return ((layout == TernaryLayout::kRows ? cols : rows) + 255) / 256; }
  std::size_t line_bytes() const { return static_cast<std::size_t>(line_count()) * 64; }
};

// Rows of int8 activations, quantized one by one: x ~ codes * step. For a matrix with groups, each
// group of a row's columns is quantized by itself: steps and sums are [rows][groups].
struct QuantizedRows {
  std::int8_t* codes = nullptr;  // [rows][stride], 64-byte aligned, zero beyond cols
  float* steps = nullptr;        // [rows], max|x| / 127
  std::int32_t* sums = nullptr;  // [rows], sum of the row's codes
  int rows = 0;
  int stride = 0;  // multiple of 64, >= cols
};

// Floats of what a query knows of some positions: m, then z from 16 on, then out from 32 on.
constexpr std::size_t attention_state_size(int head_dim) {
  return 32 + (static_cast<std::size_t>(head_dim) + 15) / 16 * 16;
}

// Causal attention of the query heads that share one KV head, for up to kMaxAttentionQueries /
// group rows of a sequence that follow each other: row r attends to positions 0 .. length + r - 1.
//
// A streaming softmax in chunks of 256 positions and steps of 64, the same for every row and head,
// whatever the rows are called with. A chunk begins with m = -inf, sixteen sums z[l] = 0 and
// out[d] = 0, and each step does, for its positions t (lane t % 16; those at or beyond the row's
// length are masked, and their memory is never part of a result):
//   s[t]   = (fma over d = 0, 1, 2, ... of query[d] * key[d][t], from +0) * scale, or -inf if
//   masked;
//            for int8, scale * key_step[t] takes the place of scale
//   m'     = max(m, maximum of s; the step's blocks in order, then lanes joined pairwise like a
//   sum) a      = exp(m - m'), e[t] = exp(s[t] - m') z[l]   = fma(z[l], a, e[l]), then z[l] + e[16
//   + l], and so on for each block of the step that is
//            not masked as a whole
//   w[t]   = e[t], or e[t] * value_step[t] for int8
//   out[d] = out[d] * a, then fma(w[t], value[t][d], out[d]) for each position that is not masked,
//            in order
// The first chunk's state is the row's; each further chunk (m_c, z_c, out_c) joins it in order:
//   m' = max(m, m_c), a = exp(m - m'), b = exp(m_c - m')
//   z[l] = fma(z_c[l], b, z[l] * a), out[d] = fma(out_c[d], b, out[d] * a)
// and at the end out[d] = out[d] * (1 / (sum of z, lanes joined pairwise)). A length of 0 gives 0.
struct AttentionArgs {
  const float* query = nullptr;  // row r: [group][head_dim] at query + r * row_stride, rotated
  std::size_t row_stride = 0;    // in floats, of query and out
  int rows = 1;
  int group = 0;
  int head_dim = 0;
  int length = 0;      // row 0 attends to positions 0 .. length - 1
  float scale = 0.0f;  // head_dim ** -0.5
  KvType type = KvType::kF32;
  // Block b of the sequence lies at cache + block_table[b] * block_stride: keys [head_dim][16],
  // then values [16][head_dim]; for int8 then key steps [16] and value steps [16], float: the codes
  // of a position share one, as quantize_row makes them.
  const std::byte* cache = nullptr;
  std::size_t block_stride = 0;  // in bytes
  const std::int32_t* block_table = nullptr;
  float* out = nullptr;  // as query, which it must not overlap
  // With `parts`, threads share a long row: only the chunks [chunk_begin, chunk_end) are computed,
  // and states are left here instead of results in `out`. From chunk 0 on, the chunks are joined
  // into one state for each query: [queries][state_size]. From another chunk on, every chunk's
  // states are kept: [chunks][queries][state_size]; those of rows that end before the chunk are not
  // written.
  float* parts = nullptr;
  int chunk_begin = 0;
  int chunk_end = std::numeric_limits<int>::max();

  int queries() const { return rows * group; }
  std::size_t query_offset(int q) const {
    return q / group * row_stride + static_cast<std::size_t>(q % group) * head_dim;
  }
  int chunk_count() const {
    return length + rows <= 1 ? 0 : (length + rows - 2) / kAttentionChunk + 1;
  }
  // Whether some position of the chunk is attended to by the query.
  bool reaches(int q, int chunk) const { return chunk * kAttentionChunk < length + q / group; }
  std::size_t state_size() const { return attention_state_size(head_dim); }
};

// How weights of an adapter stand in memory. Blocks are 32 values, as in GGUF files: a
// half-precision step d (2 bytes), then codes.
enum class LowRankFormat : std::uint8_t {
  kF32,
  kBf16,
  kInt8,  // the codes alone: who uses them knows the step
  kQ8,    // 34 bytes a block: w[i] = d * code[i], int8
  kQ4,  // 18 bytes: w[i] = d * (n - 8), n the low half of byte i for i < 16, else the high half of
        // byte i - 16
};

// Every function may be called from several threads at once. Float arrays may lie at any address;
// activations at a multiple of 64 bytes are faster, and so are weights in huge pages: with pages of
// 4 KiB, translating addresses costs a core up to a third of its memory bandwidth.
struct Kernels {
  const char* name;
  // x[n] -> codes[stride] (zero padded), step and sum: s = 127 / max(max|x|, 1e-5),
  // code = clamp(round_half_even(x * s), -128, 127), step = 1 / s. A row that holds a NaN or an
  // infinity gets zero codes and a NaN step, so that every product with it is NaN.
  void (*quantize_row)(const float* x, int n, std::int8_t* codes, int stride, float* step,
                       std::int32_t* sum);
  // With w in kTiles: y[m * y_stride + row] = float(sum_k t[row][k] * codes[m][k]) * (step[m] *
  // scale), for every m < x.rows and the rows of tiles [tile_begin, tile_end). Rows beyond w.rows
  // are not written. With groups: y = fma(float(sum over group g), step[m][g] * scale[row][g], y)
  // for g = 0, 1, 2, ... from +0.
  void (*ternary_matmul)(const TernaryMatrix& w, const QuantizedRows& x, int tile_begin,
                         int tile_end, float* y, std::size_t y_stride);
  // y[m * y_stride + row] = dot(w[row], x[m]) for rows [row_begin, row_end) of a row-major
  // matrix [*, n]; x is [m][x_stride].
  void (*matmul_bf16)(const std::uint16_t* w, int n, int row_begin, int row_end, const float* x,
                      int m, std::size_t x_stride, float* y, std::size_t y_stride);
  void (*matmul_f32)(const float* w, int n, int row_begin, int row_end, const float* x, int m,
                     std::size_t x_stride, float* y, std::size_t y_stride);
  // y[m * y_stride + row] = sum_k (w[row][k] - 128) * x[m][k], exactly, for rows [row_begin,
  // row_end) of a row-major matrix [*, stride] of codes 1..255 and m rows of codes -127..127, both
  // 64-byte aligned, as x, of the same stride, a multiple of 64, at most kMaxCodeCols; what pads
  // them is 128 in w and 0 in x. sums[m] is the sum of row m of x.
  void (*dot_codes)(const std::uint8_t* w, std::size_t stride, int row_begin, int row_end,
                    const std::int8_t* x, const std::int32_t* sums, int m, std::int32_t* y,
                    std::size_t y_stride);
  // y[m * y_stride + row] = dot(w[row], x[m]) for rows [row_begin, row_end) in quantized.h's
  // formats. The products of each group's codes with the coarse and the fine digits are summed
  // exactly, as C and F; lane g % 16 takes fma(fma(255, C, F), scale, lane) of each group g in
  // order, lanes are added pairwise, and the sum is multiplied by the state's step. With one scale
  // for the row, C and F go on through the lane's groups, and the sum of fma(255, C, F) is
  // multiplied by the scale, then by the step.
  void (*matmul_quantized)(const QuantizedMatrix& w, int row_begin, int row_end,
                           const QuantizedStates& x, float* y, std::size_t y_stride);
  // out[i] = float(256 * (high[p] - 128) + (low[p] - 128)) * scale for i < n, where p is
  // split_place(i) of format/split_rows.h. Reads up to a multiple of 64.
  void (*join_halves)(const std::uint8_t* high, const std::uint8_t* low, int n, float scale,
                      float* out);
  // *y = dot(row, x) as in matmul_f32, while join_halves puts the row that follows together: what
  // comes from memory hides behind what is computed.
  void (*dot_and_join)(const float* row, int n, const float* x, float* y, const std::uint8_t* high,
                       const std::uint8_t* low, float scale, float* out);
  // y[m * y_stride + c] += scale * d, where d is the fma over j = 0, 1, 2, ... of h[m * h_stride +
  // j]
  // * w[j * w_stride + c], from +0, and the product is rounded, for c < columns and j < rank.
  void (*low_rank_add)(const float* w, std::size_t w_stride, int rank, int columns, const float* h,
                       int m, std::size_t h_stride, float scale, float* y, std::size_t y_stride);
  // Writes n weights of any format but kF32 to out as floats, exactly; n is a multiple of 32 where
  // the format has blocks.
  void (*low_rank_widen)(LowRankFormat format, const void* weights, int n, float* out);
  // out = (x * (1 / sqrt(sum(x^2) / n + eps))) * weight; out may be x.
  void (*rms_norm)(const float* x, const float* weight, int n, float eps, float* out);
  // See AttentionArgs.
  void (*attention)(const AttentionArgs& args);
  // Joins the states of the chunks [chunk_begin, chunk_end), as `attention` left them at `parts`,
  // to the joined states of the chunks before.
  void (*attention_join)(const AttentionArgs& args, float* states, const float* parts);
  // Writes `out` from joined states.
  void (*attention_finish)(const AttentionArgs& args, const float* states);
  // With r = 0 > gate ? 0 : gate, out = (r * r) * up; out may be gate or up.
  void (*relu2_mul)(const float* gate, const float* up, int n, float* out);
  // out = (gate / (1 + exp(-gate))) * up; out may be gate or up.
  void (*silu_mul)(const float* gate, const float* up, int n, float* out);
  // Half-split rotation of `heads` vectors of head_dim (even): cos and sin hold head_dim / 2
  // values. x[i], x[i + half] = x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin,
  // each product rounded.
  void (*rope)(float* x, int heads, int head_dim, const float* cos, const float* sin);
  // x += y.
  void (*add)(float* x, const float* y, int n);
  // out = exp(x), within 1 ulp, as in exp_constants.h; out may be x.
  void (*exp)(const float* x, int n, float* out);
  // For the other layouts: sparse.h.
  const SparseKernels* sparse;
};

// The tables this host can run, fastest first; the reference is always the last.
const std::vector<const Kernels*>& available_kernels();
// The fastest one, or the one that STERNA_KERNELS names. Throws Error for a name that is unknown
// or that this host cannot run, listing those it can.
const Kernels& select_kernels();
const Kernels& reference_kernels();

}  // namespace sterna

// A bf16 matrix in two halves of eight bits, the first of which is good for something alone.
//
// Each row has a scale 2^k. An element is the integer 256 * (high - 128) + (low - 128) times that
// scale, exactly, with high in 1..255 and low in 0..255: high alone is the row in int8, with a step
// of 256 * scale, and both together are the checkpoint's own bits. The few elements that are no
// such number (bits far below the row's largest value, a value beyond the range of high, -0) are
// kept apart as exceptions, with their column and their bits; high holds what comes closest.
//
// Within 64 columns the codes stand in the order of split_place, in which the halves of sixteen
// neighbours meet in the registers of every instruction set without a permutation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sterna {

inline constexpr int kSplitStrideStep = 64;      // a row of codes is padded to a multiple
inline constexpr std::uint8_t kSplitZero = 128;  // the code of zero, high and low
inline constexpr int kMostSplitCols = 65536;     // columns are kept in 16 bits
inline constexpr std::size_t kMostSplitExceptions = 0xffffffffu;  // their places in 32

inline int split_stride(int cols) {
  return (cols + kSplitStrideStep - 1) / kSplitStrideStep * kSplitStrideStep;
}

// Where the code of a column stands within its row.
inline int split_place(int col) {
  const int within = col % kSplitStrideStep;
  const int sixteen = within / 16;
  return col - within + within % 16 / 4 * 16 + sixteen / 2 * 8 + within % 4 * 2 + sixteen % 2;
}

// What is known of a row beside its codes. The norms are upper bounds, as tight as float allows.
struct SplitRow {
  float scale = 0.0f;
  float residual = 0.0f;  // 2-norm of row - 256 * scale * (high - 128)
  float norm = 0.0f;      // the larger of the 2-norms of the row and of 256 * scale * (high - 128)
};

// Splits row[cols], finite bf16 numbers. high[split_stride(cols)] and low[...] are padded with
// kSplitZero. Appends the exceptions, in order of column.
SplitRow split_row(std::span<const std::uint16_t> row, std::uint8_t* high, std::uint8_t* low,
                   std::vector<std::uint16_t>& exception_columns,
                   std::vector<std::uint16_t>& exception_bits);

}  // namespace sterna

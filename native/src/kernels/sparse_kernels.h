// Products that read only some rows or some columns of a ternary matrix, over two layouts that keep
// a row, or a column, together. Part of every kernel table; sparse.h drives them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sterna {

struct TernaryMatrix;

// Rows of a kColumns matrix are shared out in units of 128: half of the 256 rows of one line.
inline constexpr int kColumnUnitRows = 128;

// All sums are of codes 0, 1, 2 (a trit plus one), so the caller subtracts the sum of the
// activations. They are exact integers, and so the same in every table.
struct SparseKernels {
  // Activation rows that one call of multiply_columns takes at most.
  int most_rows;
  // totals[m * count + i] = sum_k code[rows[i]][k] * activation[m][k] of a kRows matrix.
  // `activations` hold for each m line_count() times 256 bytes: for each line of a row the 64 that
  // meet bits 0..1 of its bytes, then those of bits 2..3, 4..5 and 6..7; zero beyond the columns.
  void (*multiply_rows)(const TernaryMatrix& w, const std::int8_t* activations, int m,
                        const std::int32_t* rows, int count, std::int32_t* totals);
  // totals[m * stride + row - 128 * unit_begin] = sum_i code[row][columns[i]] * activation[m][i] of
  // a kColumns matrix for the rows of units [unit_begin, unit_end), those beyond the matrix
  // included, and m <= most_rows. `activations` are [count / 4][m][4]; count is a multiple of 4,
  // stride of 16; totals are 64-byte aligned.
  void (*multiply_columns)(const TernaryMatrix& w, const std::int32_t* columns,
                           const std::int8_t* activations, int m, int count, int unit_begin,
                           int unit_end, std::int32_t* totals, std::size_t stride);
};

extern const SparseKernels kReferenceSparseKernels;

}  // namespace sterna

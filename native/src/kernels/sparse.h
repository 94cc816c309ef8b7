// Products that read only what they need of a matrix in the layouts kRows and kColumns (kernels.h),
// by one row of activations or a few. The same bits as Kernels::ternary_matmul on the same weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace sterna {

// Beyond these, the union of what the rows of activations need is seldom worth the search.
inline constexpr int kMostSparseRows = 8;

// Units of rows that a kColumns matrix can be shared out by; see multiply_columns.
int column_units(const TernaryMatrix& w);

// The memory that one thread needs for these products; kept from call to call.
class SparseProduct {
 public:
  explicit SparseProduct(const Kernels& kernels) : kernels_(kernels) {}

  // For a kRows matrix: y[m * y_stride + row] = float(sum_k t[row][k] * codes[m][k]) *
  // (step[m] * scale) for the listed rows and every m. Others are not written.
  void multiply_rows(const TernaryMatrix& w, const QuantizedRows& x, const std::int32_t* rows,
                     int count, float* y, std::size_t y_stride);

  // Notes which columns some row of x multiplies by a code that is not 0, and returns their number.
  int find_columns(const QuantizedRows& x, int cols);
  // For a kColumns matrix and the x of the last find_columns: the same for all rows of units
  // [unit_begin, unit_end), reading those columns; unit u is rows 128 u .. 128 u + 127.
  void multiply_columns(const TernaryMatrix& w, const QuantizedRows& x, int unit_begin,
                        int unit_end, float* y, std::size_t y_stride);

 private:
  // 64-byte aligned memory that only grows.
  template <typename T>
  class Scratch {
   public:
    T* reserve(std::size_t size);

   private:
    std::vector<T> memory_;
  };

  const Kernels& kernels_;
  std::vector<std::int32_t> columns_;  // filled up to a multiple of four
  int column_count_ = 0;
  Scratch<std::int8_t> codes_;
  Scratch<std::int32_t> totals_;
};

}  // namespace sterna

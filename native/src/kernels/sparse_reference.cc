// The plain form of the kernels of sparse_kernels.h.
#include <cstddef>

#include "kernels/kernels.h"
#include "kernels/sparse_kernels.h"

namespace sterna {

namespace {

// The 2-bit code of a row and column in any layout but kTiles.
int code_at(const TernaryMatrix& w, int row, int col) {
  const std::size_t stride = w.line_bytes();
  if (w.layout == TernaryLayout::kRows) {
    const std::size_t byte = row * stride + static_cast<std::size_t>(col / 16) * 4 + col % 4;
    return w.tiles[byte] >> (2 * (col % 16 / 4)) & 3;
  }
  const int r = row % 256;
  const int byte = 16 * (r % 16 / 4) + 4 * (r / 64) + r % 4;
  return w.tiles[col * stride + static_cast<std::size_t>(row / 256) * 64 + byte] >>
             (2 * (r % 64 / 16)) &
         3;
}

void multiply_rows(const TernaryMatrix& w, const std::int8_t* activations, int m,
                   const std::int32_t* rows, int count, std::int32_t* totals) {
  const int cols = w.line_count() * 256;
  for (int i = 0; i < count; ++i) {
    for (int k = 0; k < m; ++k) {
      std::int32_t total = 0;
      for (int col = 0; col < cols; ++col) {
        const int c = col % 256;
        const int at = col - c + 64 * (c % 16 / 4) + c / 16 * 4 + c % 4;
        total += code_at(w, rows[i], col) * activations[static_cast<std::size_t>(k) * cols + at];
      }
      totals[static_cast<std::size_t>(k) * count + i] = total;
    }
  }
}

void multiply_columns(const TernaryMatrix& w, const std::int32_t* columns,
                      const std::int8_t* activations, int m, int count, int unit_begin,
                      int unit_end, std::int32_t* totals, std::size_t stride) {
  const int first = unit_begin * kColumnUnitRows;
  for (int row = first; row < unit_end * kColumnUnitRows; ++row) {
    for (int k = 0; k < m; ++k) {
      std::int32_t total = 0;
      for (int i = 0; i < count; ++i) {
        total += code_at(w, row, columns[i]) * activations[i / 4 * 4 * m + 4 * k + i % 4];
      }
      totals[k * stride + row - first] = total;
    }
  }
}

}  // namespace

const SparseKernels kReferenceSparseKernels = {
    .most_rows = 8,
    .multiply_rows = multiply_rows,
    .multiply_columns = multiply_columns,
};

}  // namespace sterna

#include "kernels/sparse.h"

#include <algorithm>
#include <cstring>

#include "kernels/interleave.h"
#include "kernels/sparse_kernels.h"

namespace sterna {

namespace {

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Words of four codes in the order in which a line's fields meet them; zero from `stride` on.
void order_by_field(const std::int8_t* codes, int stride, int size, std::int8_t* out) {
  for (int at = 0; at < size; at += 4) {
    std::int8_t* word = out + at / 256 * 256 + 64 * (at % 16 / 4) + at % 256 / 16 * 4;
    if (at < stride) {
      std::memcpy(word, codes + at, 4);
    } else {
      std::memset(word, 0, 4);
    }
  }
}

}  // namespace

template <typename T>
T* SparseProduct::Scratch<T>::reserve(std::size_t size) {
  constexpr std::size_t kLine = 64;
  const std::size_t needed = size + kLine / sizeof(T);
  if (memory_.size() < needed) memory_ = std::vector<T>(needed);
  const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
  return memory_.data() + (kLine - address % kLine) % kLine / sizeof(T);
}

int column_units(const TernaryMatrix& w) {
  return (w.rows + kColumnUnitRows - 1) / kColumnUnitRows;
}

void SparseProduct::multiply_rows(const TernaryMatrix& w, const QuantizedRows& x,
                                  const std::int32_t* rows, int count, float* y,
                                  std::size_t y_stride) {
  if (count == 0 || x.rows == 0) return;
  const int size = w.line_count() * 256;
  std::int8_t* codes = codes_.reserve(static_cast<std::size_t>(x.rows) * size);
  for (int m = 0; m < x.rows; ++m) {
    order_by_field(x.codes + static_cast<std::size_t>(m) * x.stride, x.stride, size,
                   codes + static_cast<std::size_t>(m) * size);
  }
  std::int32_t* totals = totals_.reserve(static_cast<std::size_t>(x.rows) * count);
  kernels_.sparse->multiply_rows(w, codes, x.rows, rows, count, totals);
  for (int m = 0; m < x.rows; ++m) {
    const std::int32_t* total = totals + static_cast<std::size_t>(m) * count;
    const float factor = x.steps[m] * w.scale;
    float* out = y + m * y_stride;
    for (int i = 0; i < count; ++i) {
      out[rows[i]] = static_cast<float>(total[i] - x.sums[m]) * factor;
    }
  }
}

int SparseProduct::find_columns(const QuantizedRows& x, int cols) {
  columns_.resize(round_up(cols, 8) + 8);
  int count = 0;
  for (int col = 0; col < cols; col += 8) {  // codes are zero up to the stride
    std::uint64_t any = 0;
    for (int m = 0; m < x.rows; ++m) {
      std::uint64_t codes;
      std::memcpy(&codes, x.codes + static_cast<std::size_t>(m) * x.stride + col, sizeof codes);
      any |= codes;
    }
    std::uint8_t bytes[8];
    std::memcpy(bytes, &any, sizeof bytes);
    for (int i = 0; i < 8; ++i) {
      columns_[count] = col + i;
      count += bytes[i] != 0 ? 1 : 0;
    }
  }
  // Kernels take four at a time: what fills up the last four is multiplied by zero.
  std::fill_n(columns_.begin() + count, round_up(count, 4) - count,
              count > 0 ? columns_[count - 1] : 0);
  column_count_ = count;
  return count;
}

void SparseProduct::multiply_columns(const TernaryMatrix& w, const QuantizedRows& x, int unit_begin,
                                     int unit_end, float* y, std::size_t y_stride) {
  if (unit_begin >= unit_end || x.rows == 0) return;
  const int count = column_count_;
  const int passes = pass_count(x.rows, kernels_.sparse->most_rows);
  const int padded = round_up(count, 4);
  const int first = unit_begin * kColumnUnitRows;
  const std::size_t stride = static_cast<std::size_t>(unit_end - unit_begin) * kColumnUnitRows;
  const int rows = std::min(w.rows, unit_end * kColumnUnitRows) - first;
  std::int8_t* codes =
      codes_.reserve(static_cast<std::size_t>(padded) * kernels_.sparse->most_rows);
  std::int32_t* totals = totals_.reserve(stride * kernels_.sparse->most_rows);
  for (int pass = 0; pass < passes; ++pass) {
    const int begin = pass_begin(x.rows, passes, pass);
    const int m = pass_begin(x.rows, passes, pass + 1) - begin;
    for (int i = 0; i < m; ++i) {
      const std::int8_t* in = x.codes + static_cast<std::size_t>(begin + i) * x.stride;
      std::int8_t* out = codes + 4 * i;
      for (int at = 0; at < padded; ++at) {
        out[at / 4 * 4 * m + at % 4] = at < count ? in[columns_[at]] : std::int8_t{0};
      }
    }
    kernels_.sparse->multiply_columns(w, columns_.data(), codes, m, padded, unit_begin, unit_end,
                                      totals, stride);
    for (int i = 0; i < m; ++i) {
      const float factor = x.steps[begin + i] * w.scale;
      const std::int32_t sum = x.sums[begin + i];
      float* out = y + static_cast<std::size_t>(begin + i) * y_stride + first;
      for (int row = 0; row < rows; ++row) {
        out[row] = static_cast<float>(totals[i * stride + row] - sum) * factor;
      }
    }
  }
}

}  // namespace sterna

// Products with quantized rows: the same bits in every table, and close to the floats.
#include <algorithm>
#include <limits>

#include "format/quantize_rows.h"
#include "kernels/quantized.h"
#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

struct QuantizedCase {
  QuantizedMatrix matrix;
  Aligned<std::uint8_t> bytes;
  std::vector<float> floats;  // as quantized
  std::vector<float> x;       // [m][cols]
  Aligned<std::int8_t> codes;
  std::vector<std::int32_t> sums;
  std::vector<float> steps;
  QuantizedStates states;
};

QuantizedCase quantized_case(WeightFormat format, int rows, int cols, int m, unsigned seed) {
  QuantizedCase c;
  c.floats = random_floats(static_cast<std::size_t>(rows) * cols, seed, 0.05f);
  // A row of zeros, and one with a value that dwarfs the others.
  std::fill_n(c.floats.begin(), cols, 0.0f);
  if (rows > 1) c.floats[static_cast<std::size_t>(cols) + cols / 2] = -40.0f;
  RowQuantizer quantizer(format, cols);
  const QuantizedLayout layout = quantizer.layout();
  c.bytes.resize(rows * layout.row_bytes);
  for (int row = 0; row < rows; ++row) {
    const float* values = c.floats.data() + static_cast<std::size_t>(row) * cols;
    quantizer.quantize({values, static_cast<std::size_t>(cols)},
                       c.bytes.data() + row * layout.row_bytes);
  }
  c.matrix = {c.bytes.data(), format, rows, cols};
  c.x = random_floats(static_cast<std::size_t>(m) * cols, seed + 1);
  if (m > 2) std::fill_n(c.x.begin(), cols, 0.0f);
  if (m > 5) c.x[5 * cols] = std::numeric_limits<float>::infinity();
  c.codes.resize(2 * static_cast<std::size_t>(m) * layout.padded);
  c.sums.resize(2 * static_cast<std::size_t>(m) * layout.groups());
  c.steps.resize(m);
  for (int i = 0; i < m; ++i) {
    quantize_state(layout, c.x.data() + i * cols, cols, c.codes.data() + 2 * i * layout.padded,
                   c.sums.data() + 2 * i * layout.groups(), &c.steps[i]);
  }
  c.states = {c.codes.data(), c.sums.data(), c.steps.data(), m};
  return c;
}

TEST(every_table_gives_the_same_bits) {
  unsigned seed = 1;
  for (const WeightFormat format : kWeightFormats) {
    for (const int cols : {1, 31, 32, 96, 256, 300, 1024}) {
      for (const int m : {1, 2, 3, 5, 6, 7, 16}) {
        const int rows = 1 + static_cast<int>(seed % 11);
        const QuantizedCase c = quantized_case(format, rows, cols, m, ++seed);
        const std::size_t y_stride = rows + 2;
        std::vector<float> expected(m * y_stride, 7.0f);
        const int begin = static_cast<int>(seed) % rows;
        reference_kernels().matmul_quantized(c.matrix, begin, rows, c.states, expected.data(),
                                             y_stride);
        for (const Kernels* kernels : tables_to_test()) {
          std::vector<float> actual(expected.size(), 7.0f);
          kernels->matmul_quantized(c.matrix, begin, rows, c.states, actual.data(), y_stride);
          check_same_bits(expected.data(), actual.data(), expected.size(), kernels->name);
        }
      }
    }
  }
}

// The opposite of the largest value may have no code, which costs a step; scales are rounded, too.
TEST(elements_are_within_a_step) {
  for (const WeightFormat format : kWeightFormats) {
    const QuantizedCase c = quantized_case(format, 5, 300, 1, 3);
    const QuantizedLayout layout = c.matrix.layout();
    std::vector<float> row(300);
    for (int r = 0; r < 5; ++r) {
      widen_quantized(c.matrix, r, row.data());
      for (int begin = 0; begin < 300; begin += layout.group) {
        const int width = layout.row_scale ? 300 : layout.group;
        if (layout.row_scale && begin > 0) break;
        const int end = std::min(begin + width, 300);
        const float* values = c.floats.data() + r * 300;
        float largest = 0.0f;
        for (int i = begin; i < end; ++i) largest = std::max(largest, std::fabs(values[i]));
        // int8 has one scale, and q6_k rounds those of its groups against that of 256 columns.
        float around = largest;
        const int first = begin / 256 * 256;
        for (int i = first; i < std::min(first + 256, 300); ++i) {
          around = std::max(around, std::fabs(values[i]));
        }
        const float codes = layout.bits == 8 ? 127.0f : static_cast<float>(1 << (layout.bits - 1));
        float most = 1.2f * largest / codes;
        if (format == WeightFormat::kQ6K) most += 0.5f * around / 127.0f;
        for (int i = begin; i < end; ++i) CHECK(std::fabs(row[i] - values[i]) <= most);
      }
    }
  }
}

TEST(the_product_is_that_of_the_widened_rows) {
  for (const WeightFormat format : kWeightFormats) {
    const QuantizedCase c = quantized_case(format, 9, 512, 2, 11);
    std::vector<float> y(18);
    reference_kernels().matmul_quantized(c.matrix, 0, 9, c.states, y.data(), 9);
    std::vector<float> row(512);
    for (int r = 0; r < 9; ++r) {
      widen_quantized(c.matrix, r, row.data());
      for (int i = 0; i < 2; ++i) {
        double sum = 0.0;
        double size = 0.0;
        for (int k = 0; k < 512; ++k) {
          const double product = static_cast<double>(row[k]) * c.x[i * 512 + k];
          sum += product;
          size += std::fabs(product);
        }
        CHECK(std::fabs(y[i * 9 + r] - sum) <= 1e-4 * size);
      }
    }
  }
}

TEST(rows_take_the_bytes_that_their_format_says) {
  // Bits of a weight of the 2B-4T head, with the scales.
  const double expected[] = {8.05, 8.5, 6.6, 5.5, 4.5};
  for (const WeightFormat format : kWeightFormats) {
    const double bits = 8.0 * quantized_layout(format, 2560).row_bytes / 2560;
    CHECK(std::fabs(bits - expected[static_cast<int>(format)]) < 0.06);
    CHECK(weight_format_from(weight_format_name(format)) == format);
  }
  CHECK(!weight_format_from("q2_k").has_value());
}

}  // namespace
}  // namespace sterna

// Products of int8 codes, and rows put together from halves, in every table.
#include "format/split_rows.h"
#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr std::int32_t kUntouched = -123456789;

struct CodesCase {
  int stride = 0;
  Aligned<std::uint8_t> w;
  Aligned<std::int8_t> x;
  std::vector<std::int32_t> sums;
};

// `weight` and `input` are functions of row and column; columns from `cols` on are padding.
template <typename Weight, typename Input>
CodesCase codes_case(int rows, int m, int cols, Weight weight, Input input) {
  CodesCase c;
  c.stride = split_stride(cols);
  c.w.assign(static_cast<std::size_t>(rows) * c.stride, kSplitZero);
  c.x.assign(static_cast<std::size_t>(m) * c.stride, 0);
  c.sums.assign(m, 0);
  for (int row = 0; row < rows; ++row) {
    for (int k = 0; k < cols; ++k) {
      c.w[static_cast<std::size_t>(row) * c.stride + k] = static_cast<std::uint8_t>(weight(row, k));
    }
  }
  for (int i = 0; i < m; ++i) {
    for (int k = 0; k < cols; ++k) {
      const int code = input(i, k);
      c.x[static_cast<std::size_t>(i) * c.stride + k] = static_cast<std::int8_t>(code);
      c.sums[i] += code;
    }
  }
  return c;
}

void check_codes(const CodesCase& c, int begin, int end, int m) {
  const std::size_t y_stride = static_cast<std::size_t>(end) + 3;
  std::vector<std::int32_t> expected(y_stride * m, kUntouched);
  reference_kernels().dot_codes(c.w.data(), c.stride, begin, end, c.x.data(), c.sums.data(), m,
                                expected.data(), y_stride);
  for (const Kernels* kernels : tables_to_test()) {
    std::vector<std::int32_t> actual(expected.size(), kUntouched);
    kernels->dot_codes(c.w.data(), c.stride, begin, end, c.x.data(), c.sums.data(), m,
                       actual.data(), y_stride);
    if (actual != expected) {
      std::cerr << kernels->name << " stride " << c.stride << " rows " << begin << ".." << end
                << " m " << m << "\n";
    }
    CHECK(actual == expected);
  }
}

TEST(codes_every_shape) {
  std::mt19937 random(3);
  for (int cols : {1, 63, 64, 65, 192, 576}) {
    for (int m = 1; m <= 13; ++m) {
      const CodesCase c = codes_case(
          21, m, cols, [&](int, int) { return 1 + random() % 255; },
          [&](int, int) { return static_cast<int>(random() % 255) - 127; });
      check_codes(c, 0, 21, m);
      check_codes(c, 3, 20, m);
      check_codes(c, 5, 5, m);
    }
  }
}

TEST(codes_sum_products) {
  const CodesCase c = codes_case(
      2, 1, 3, [](int row, int k) { return 128 + (row == 0 ? k + 1 : -k); },
      [](int, int k) { return 10 - k; });
  std::int32_t y[2];
  reference_kernels().dot_codes(c.w.data(), c.stride, 0, 2, c.x.data(), c.sums.data(), 1, y, 2);
  CHECK_EQ(y[0], 10 + 2 * 9 + 3 * 8);
  CHECK_EQ(y[1], -9 - 2 * 8);
}

// The extremes do not saturate or overflow on the way.
TEST(codes_at_their_limits) {
  for (const int weight : {1, 255}) {
    for (const int input : {-127, 127}) {
      check_codes(codes_case(
                      5, 2, kMaxCodeCols, [=](int, int) { return weight; },
                      [=](int, int) { return input; }),
                  0, 5, 2);
    }
  }
}

TEST(halves_every_size) {
  std::mt19937 random(4);
  for (int n : {1, 4, 15, 16, 17, 31, 33, 48, 63, 64, 65, 100, 127, 192, 200, 333}) {
    std::vector<std::uint8_t> high(split_stride(n));
    std::vector<std::uint8_t> low(high.size());
    for (auto& byte : high) byte = static_cast<std::uint8_t>(1 + random() % 255);
    for (auto& byte : low) byte = static_cast<std::uint8_t>(random());
    for (const float scale : {1.0f, 0x1p-20f, 0x1p-140f, 0x1p-149f, 0x1p100f}) {
      std::vector<float> expected(n + 1, -1.5f);
      reference_kernels().join_halves(high.data(), low.data(), n, scale, expected.data());
      CHECK_EQ(expected[n], -1.5f);
      for (const Kernels* kernels : tables_to_test()) {
        std::vector<float> actual(n + 1, -1.5f);
        kernels->join_halves(high.data(), low.data(), n, scale, actual.data());
        check_same_bits(expected.data(), actual.data(), n + 1,
                        std::string(kernels->name) + " halves " + std::to_string(n));
      }
    }
  }
}

TEST(dot_and_join_does_both) {
  std::mt19937 random(5);
  for (int n : {1, 15, 17, 63, 64, 65, 100, 128, 333}) {
    std::vector<std::uint8_t> high(split_stride(n));
    std::vector<std::uint8_t> low(high.size());
    for (auto& byte : high) byte = static_cast<std::uint8_t>(1 + random() % 255);
    for (auto& byte : low) byte = static_cast<std::uint8_t>(random());
    const std::vector<float> row = random_floats(n, n);
    const std::vector<float> x = random_floats(n, n + 1);
    float expected = 0.0f;
    std::vector<float> joined(n + 1, -2.5f);
    reference_kernels().dot_and_join(row.data(), n, x.data(), &expected, high.data(), low.data(),
                                     0.25f, joined.data());
    for (const Kernels* kernels : tables_to_test()) {
      float actual = 0.0f;
      std::vector<float> out(n + 1, -2.5f);
      kernels->dot_and_join(row.data(), n, x.data(), &actual, high.data(), low.data(), 0.25f,
                            out.data());
      const std::string what = std::string(kernels->name) + " n " + std::to_string(n);
      check_same_bits(&expected, &actual, 1, what + " dot");
      check_same_bits(joined.data(), out.data(), out.size(), what + " join");
    }
  }
}

// Every bf16 number comes back as it was, from the halves or as an exception.
void check_row(const std::vector<std::uint16_t>& row, std::size_t most_exceptions) {
  std::vector<std::uint8_t> high(split_stride(static_cast<int>(row.size())));
  std::vector<std::uint8_t> low(high.size());
  std::vector<std::uint16_t> columns;
  std::vector<std::uint16_t> bits;
  const SplitRow facts = split_row(row, high.data(), low.data(), columns, bits);
  CHECK_EQ(columns.size(), bits.size());
  CHECK(columns.size() <= most_exceptions);
  std::vector<float> joined(row.size());
  for (const Kernels* kernels : available_kernels()) {
    kernels->join_halves(high.data(), low.data(), static_cast<int>(row.size()), facts.scale,
                         joined.data());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      joined[columns[i]] = float_of(static_cast<std::uint32_t>(bits[i]) << 16);
    }
    for (std::size_t i = 0; i < row.size(); ++i) {
      CHECK_EQ(bits_of(joined[i]), static_cast<std::uint32_t>(row[i]) << 16);
    }
  }
  double residual = 0.0, exact = 0.0, coarse = 0.0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double value = float_of(static_cast<std::uint32_t>(row[i]) << 16);
    const int code = high[split_place(static_cast<int>(i))] - kSplitZero;
    CHECK(code >= -127 && code <= 127);
    const double approximate = 256.0 * facts.scale * code;
    residual += (value - approximate) * (value - approximate);
    exact += value * value;
    coarse += approximate * approximate;
  }
  CHECK(std::sqrt(residual) <= facts.residual);
  CHECK(facts.residual <= std::sqrt(residual) * 1.0001 + 1e-37);
  CHECK(std::sqrt(exact) <= facts.norm && std::sqrt(coarse) <= facts.norm);
}

std::vector<std::uint16_t> truncated(const std::vector<float>& values) {
  std::vector<std::uint16_t> row;
  for (const float value : values) row.push_back(static_cast<std::uint16_t>(bits_of(value) >> 16));
  return row;
}

TEST(split_rows_keep_every_bit) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    for (const float scale : {1.0f, 0.02f, 1e30f, 1e-30f}) {
      check_row(truncated(random_floats(517, seed, scale)), 40);
    }
  }
}

TEST(split_rows_keep_hard_rows) {
  check_row(std::vector<std::uint16_t>(70, 0), 0);
  check_row(std::vector<std::uint16_t>(70, 0x8000), 70);           // -0
  check_row({0x7f7f, 0xff7f, 0x0001, 0x8001, 0x0080, 0x3f80}, 6);  // the largest and the least
  check_row({0x0001, 0x0002, 0x8003, 0x007f}, 4);                  // subnormal numbers only
  check_row({0x3f80, 0x3f7f, 0x3fff, 0xbfff, 0x3f00, 0x3c00}, 6);
  std::mt19937 random(9);
  for (int i = 0; i < 2000; ++i) {  // any finite numbers
    std::vector<std::uint16_t> row(33);
    for (auto& bits : row) {
      do bits = static_cast<std::uint16_t>(random());
      while ((bits & 0x7f80) == 0x7f80);
    }
    check_row(row, row.size());
  }
}

TEST(split_places_are_a_permutation) {
  std::vector<int> seen(256, 0);
  for (int col = 0; col < 256; ++col) {
    CHECK_EQ(split_place(col) / 64, col / 64);
    ++seen[split_place(col)];
  }
  CHECK(seen == std::vector<int>(256, 1));
}

}  // namespace
}  // namespace sterna

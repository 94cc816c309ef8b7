// Dense products: the fixed order of kernels.h, in every table, bit for bit.
#include <limits>

#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kUntouched = -12345.5f;

float bf16_value(std::uint16_t bits) { return float_of(static_cast<std::uint32_t>(bits) << 16); }

struct DenseCase {
  int n = 0;
  int rows = 0;
  int m = 0;
  std::vector<std::uint16_t> bf16;
  std::vector<float> f32;
  std::vector<float> x;
  std::size_t x_stride = 0;
};

DenseCase random_case(int n, int rows, int m, unsigned seed, float scale = 1.0f) {
  DenseCase c;
  c.n = n;
  c.rows = rows;
  c.m = m;
  c.f32 = random_floats(static_cast<std::size_t>(n) * rows, seed, scale);
  for (float& weight : c.f32) {
    c.bf16.push_back(static_cast<std::uint16_t>(bits_of(weight) >> 16));
  }
  c.x_stride = static_cast<std::size_t>(n) + 5;
  c.x = random_floats(c.x_stride * m, seed + 1, scale);
  return c;
}

void check_case(const DenseCase& c, int row_begin, int row_end) {
  const std::size_t y_stride = static_cast<std::size_t>(c.rows) + 2;
  const std::string what = "n " + std::to_string(c.n) + " rows " + std::to_string(row_begin) +
                           ".." + std::to_string(row_end) + " m " + std::to_string(c.m);
  std::vector<float> bf16(y_stride * c.m, kUntouched);
  std::vector<float> f32 = bf16;
  reference_kernels().matmul_bf16(c.bf16.data(), c.n, row_begin, row_end, c.x.data(), c.m,
                                  c.x_stride, bf16.data(), y_stride);
  reference_kernels().matmul_f32(c.f32.data(), c.n, row_begin, row_end, c.x.data(), c.m, c.x_stride,
                                 f32.data(), y_stride);
  for (const Kernels* kernels : tables_to_test()) {
    std::vector<float> actual(bf16.size(), kUntouched);
    kernels->matmul_bf16(c.bf16.data(), c.n, row_begin, row_end, c.x.data(), c.m, c.x_stride,
                         actual.data(), y_stride);
    check_same_bits(bf16.data(), actual.data(), actual.size(),
                    std::string(kernels->name) + " bf16 " + what);
    actual.assign(f32.size(), kUntouched);
    kernels->matmul_f32(c.f32.data(), c.n, row_begin, row_end, c.x.data(), c.m, c.x_stride,
                        actual.data(), y_stride);
    check_same_bits(f32.data(), actual.data(), actual.size(),
                    std::string(kernels->name) + " f32 " + what);
  }
}

TEST(dense_against_doubles) {
  const DenseCase c = random_case(777, 5, 2, 11);
  std::vector<float> bf16(10);
  std::vector<float> f32(10);
  reference_kernels().matmul_bf16(c.bf16.data(), c.n, 0, 5, c.x.data(), 2, c.x_stride, bf16.data(),
                                  5);
  reference_kernels().matmul_f32(c.f32.data(), c.n, 0, 5, c.x.data(), 2, c.x_stride, f32.data(), 5);
  for (int i = 0; i < 2; ++i) {
    for (int row = 0; row < 5; ++row) {
      double exact_bf16 = 0.0;
      double exact_f32 = 0.0;
      for (int k = 0; k < c.n; ++k) {
        const double x = c.x[i * c.x_stride + k];
        exact_bf16 += x * bf16_value(c.bf16[row * c.n + k]);
        exact_f32 += x * c.f32[row * c.n + k];
      }
      CHECK(std::fabs(bf16[i * 5 + row] - exact_bf16) < 1e-4);
      CHECK(std::fabs(f32[i * 5 + row] - exact_f32) < 1e-4);
    }
  }
}

TEST(dense_order_is_sixteen_lanes_then_pairs) {
  // 2^24 + 1 - 2^24 depends on the order: lanes 0 and 8 join before lane 4 does.
  std::vector<float> w(16, 0.0f);
  w[0] = 16777216.0f;
  w[8] = -16777216.0f;
  w[4] = 1.0f;
  const std::vector<float> ones(16, 1.0f);
  float y = 0.0f;
  reference_kernels().matmul_f32(w.data(), 16, 0, 1, ones.data(), 1, 16, &y, 1);
  CHECK_EQ(y, 1.0f);
  std::swap(w[8], w[2]);  // now lane 0 takes lane 4 first, and 2^24 + 1 is lost
  reference_kernels().matmul_f32(w.data(), 16, 0, 1, ones.data(), 1, 16, &y, 1);
  CHECK_EQ(y, 0.0f);
}

TEST(dense_every_shape) {
  unsigned seed = 100;
  for (int n : {1, 3, 15, 16, 17, 32, 47, 64, 100, 576}) {
    for (int m = 1; m <= 17; ++m) check_case(random_case(n, 21, m, ++seed), 0, 21);
  }
  check_case(random_case(2560, 40, 1, 1), 0, 40);
  check_case(random_case(2560, 40, 16, 2), 0, 40);
}

TEST(dense_row_ranges) {
  const DenseCase c = random_case(70, 50, 3, 5);
  for (int begin : {0, 1, 8, 17, 50}) {
    for (int end : {1, 9, 16, 33, 49, 50}) {
      if (begin <= end) check_case(c, begin, end);
    }
  }
}

TEST(dense_subnormal_and_special_values) {
  // Products that underflow leave a lane at -0, which a padded zero would turn into +0.
  for (int n : {5, 16, 21}) {
    DenseCase c = random_case(n, 9, 3, 77, 1e-25f);
    for (float& x : c.x) x = -std::fabs(x);
    for (float& w : c.f32) w = std::fabs(w);
    check_case(c, 0, 9);
  }
  check_case(random_case(33, 9, 2, 78, 1e-42f), 0, 9);
  check_case(random_case(33, 9, 2, 79, 1e25f), 0, 9);  // overflow to infinity and NaN
  DenseCase c = random_case(33, 9, 2, 80);
  c.x[3] = std::numeric_limits<float>::quiet_NaN();
  c.f32[40] = std::numeric_limits<float>::infinity();
  c.bf16[70] = 0x7fc0;
  check_case(c, 0, 9);
}

}  // namespace
}  // namespace sterna

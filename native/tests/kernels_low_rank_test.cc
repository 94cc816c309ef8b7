// Products with the matrices of adapters: the fixed order of kernels.h, in every table, bit for
// bit.
#include <limits>

#include "format/dtype.h"
#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

TEST(low_rank_order_is_by_component) {
  // 2^24 + 1 - 2^24, in this order, loses the 1; scale and sum are rounded apart.
  const std::vector<float> w = {16777216.0f, 1.0f, -16777216.0f};
  const std::vector<float> h(3, 1.0f);
  float y = 2.0f;
  reference_kernels().low_rank_add(w.data(), 1, 3, 1, h.data(), 1, 3, 3.0f, &y, 1);
  CHECK_EQ(y, 2.0f);
  const std::vector<float> last = {16777216.0f, -16777216.0f, 1.0f};
  reference_kernels().low_rank_add(last.data(), 1, 3, 1, h.data(), 1, 3, 3.0f, &y, 1);
  CHECK_EQ(y, 5.0f);
}

TEST(low_rank_every_shape) {
  unsigned seed = 1;
  for (const int rank : {1, 2, 7, 16, 33}) {
    for (const int columns : {1, 15, 16, 17, 31, 32, 50, 100}) {
      for (const int m : {1, 2, 3, 4, 5, 9}) {
        const std::size_t w_stride = columns + 3;
        const std::size_t h_stride = rank + 2;
        const std::size_t y_stride = columns + 5;
        const auto w = random_floats(w_stride * rank, ++seed);
        const auto h = random_floats(h_stride * m, ++seed);
        const auto before = random_floats(y_stride * m, ++seed);
        auto expected = before;
        reference_kernels().low_rank_add(w.data(), w_stride, rank, columns, h.data(), m, h_stride,
                                         0.37f, expected.data(), y_stride);
        for (const Kernels* kernels : tables_to_test()) {
          auto actual = before;
          kernels->low_rank_add(w.data(), w_stride, rank, columns, h.data(), m, h_stride, 0.37f,
                                actual.data(), y_stride);
          check_same_bits(expected.data(), actual.data(), actual.size(),
                          std::string(kernels->name) + " rank " + std::to_string(rank) +
                              " columns " + std::to_string(columns) + " m " + std::to_string(m));
        }
      }
    }
  }
}

TEST(low_rank_special_values) {
  auto w = random_floats(40 * 5, 1);
  auto h = random_floats(5 * 2, 2);
  w[3] = std::numeric_limits<float>::infinity();
  w[50] = std::numeric_limits<float>::quiet_NaN();
  h[6] = 1e38f;
  std::vector<float> expected(80, -0.0f);
  auto y = expected;
  reference_kernels().low_rank_add(w.data(), 40, 5, 40, h.data(), 2, 5, -1.0f, expected.data(), 40);
  for (const Kernels* kernels : tables_to_test()) {
    auto actual = y;
    kernels->low_rank_add(w.data(), 40, 5, 40, h.data(), 2, 5, -1.0f, actual.data(), 40);
    check_same_bits(expected.data(), actual.data(), actual.size(), kernels->name);
  }
}

TEST(low_rank_widen_every_format) {
  std::mt19937 random(5);
  std::vector<std::uint8_t> bytes(34 * 8);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  // Steps are finite: normal, subnormal, zero and negative halves.
  const std::uint16_t steps[] = {0x3c00, 0x0001, 0x03ff, 0x0000, 0x8000, 0xbc01, 0x7bff, 0x0400};
  for (const auto& [format, block] : {std::pair{LowRankFormat::kBf16, 0},
                                      {LowRankFormat::kInt8, 0},
                                      {LowRankFormat::kQ8, 34},
                                      {LowRankFormat::kQ4, 18}}) {
    for (int i = 0; block > 0 && i < 8; ++i) std::memcpy(bytes.data() + i * block, &steps[i], 2);
    for (const int n : {1, 16, 31, 32, 64, 100, 128}) {
      if (block > 0 && n % 32 != 0) continue;
      std::vector<float> expected(n + 1, 9.0f);
      reference_kernels().low_rank_widen(format, bytes.data(), n, expected.data());
      CHECK_EQ(expected[n], 9.0f);
      for (const Kernels* kernels : tables_to_test()) {
        std::vector<float> actual(n + 1, 9.0f);
        kernels->low_rank_widen(format, bytes.data(), n, actual.data());
        check_same_bits(expected.data(), actual.data(), n + 1,
                        std::string(kernels->name) + " format " +
                            std::to_string(static_cast<int>(format)) + " n " + std::to_string(n));
      }
    }
  }
}

TEST(low_rank_blocks_hold_what_gguf_says) {
  std::vector<std::uint8_t> q8(34);
  std::vector<std::uint8_t> q4(18);
  const std::uint16_t half = 0x3800;  // 0.5
  std::memcpy(q8.data(), &half, 2);
  std::memcpy(q4.data(), &half, 2);
  for (int i = 0; i < 32; ++i) q8[2 + i] = static_cast<std::uint8_t>(i - 16);
  for (int i = 0; i < 16; ++i) q4[2 + i] = static_cast<std::uint8_t>(i | (15 - i) << 4);
  std::vector<float> out(32);
  reference_kernels().low_rank_widen(LowRankFormat::kQ8, q8.data(), 32, out.data());
  for (int i = 0; i < 32; ++i) CHECK_EQ(out[i], 0.5f * static_cast<float>(i - 16));
  reference_kernels().low_rank_widen(LowRankFormat::kQ4, q4.data(), 32, out.data());
  for (int i = 0; i < 16; ++i) {
    CHECK_EQ(out[i], 0.5f * static_cast<float>(i - 8));
    CHECK_EQ(out[16 + i], 0.5f * static_cast<float>(7 - i));
  }
}

TEST(halves_round_to_the_nearest) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float value = f16_to_f32(static_cast<std::uint16_t>(bits));
    CHECK_EQ(f32_to_f16(value), bits);
    const float next =
        bits + 1 < 0x7c00 ? f16_to_f32(static_cast<std::uint16_t>(bits + 1)) : 65536.0f;
    const float middle = (value + next) / 2;
    CHECK_EQ(f32_to_f16(middle), bits + bits % 2);  // half to even
    CHECK_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), bits);
    CHECK_EQ(f32_to_f16(-std::nextafter(middle, 1e9f)), 0x8000u + bits + 1);
  }
  CHECK_EQ(f32_to_bf16(1.00390625f), 0x3f80);  // half to even
  CHECK_EQ(f32_to_bf16(1.01171875f), 0x3f82);  // up
  CHECK_EQ(f32_to_bf16(-1.004f), 0xbf81);
}

}  // namespace
}  // namespace sterna

// The ternary product with scales by groups of columns: every table against a plain computation.
#include <algorithm>
#include <limits>

#include "format/dtype.h"
#include "kernels/grouped.h"
#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kUntouched = -12345.5f;

struct Grouped {
  PackedMatrix packed;
  std::vector<std::uint16_t> halves;
  std::vector<float> floats;
  TernaryMatrix matrix;

  float scale(int row, int g) const {
    const std::size_t at =
        (static_cast<std::size_t>(row / kTileRows) * matrix.groups() + g) * kTileRows +
        row % kTileRows;
    return halves.empty() ? floats[at] : f16_to_f32(halves[at]);
  }
};

Grouped grouped(int rows, int cols, int group, bool half, unsigned seed) {
  std::mt19937 random(seed);
  Grouped made;
  made.packed =
      packed_matrix(rows, cols, 1.0f, [&](int, int) { return static_cast<int>(random() % 3) - 1; });
  made.matrix = made.packed.matrix;
  made.matrix.group = group;
  const int count = made.matrix.row_tiles() * made.matrix.groups() * kTileRows;
  for (int i = 0; i < count; ++i) {
    // Zeros, subnormal halves and ordinary ones.
    if (half) {
      made.halves.push_back(
          static_cast<std::uint16_t>(i % 7 == 0 ? i % 3 : 0x1c00 + random() % 0x1000));
    } else {
      made.floats.push_back(0.001f * static_cast<float>(1 + random() % 1000));
    }
  }
  made.matrix.half_scales = half ? made.halves.data() : nullptr;
  made.matrix.float_scales = half ? nullptr : made.floats.data();
  return made;
}

struct GroupedRows {
  Aligned<std::int8_t> codes;
  std::vector<float> steps;
  std::vector<std::int32_t> sums;
  QuantizedRows rows;
};

GroupedRows quantized(const std::vector<float>& x, int m, int cols, int group) {
  GroupedRows made;
  const int stride = (cols + 63) / 64 * 64;
  const int groups = (cols + group - 1) / group;
  made.codes.resize(static_cast<std::size_t>(m) * stride, 99);
  made.steps.resize(static_cast<std::size_t>(m) * groups);
  made.sums.resize(static_cast<std::size_t>(m) * groups);
  for (int i = 0; i < m; ++i) {
    quantize_groups(reference_kernels(), x.data() + static_cast<std::size_t>(i) * cols, cols, group,
                    made.codes.data() + static_cast<std::size_t>(i) * stride, stride,
                    made.steps.data() + i * groups, made.sums.data() + i * groups);
  }
  made.rows = {made.codes.data(), made.steps.data(), made.sums.data(), m, stride};
  return made;
}

void check_product(const Grouped& w, const GroupedRows& x, int tile_begin, int tile_end,
                   const std::string& what) {
  const int rows = w.matrix.rows;
  const int cols = w.matrix.cols;
  const int groups = w.matrix.groups();
  const std::size_t y_stride = static_cast<std::size_t>(rows) + 3;
  std::vector<float> expected(x.rows.rows * y_stride, kUntouched);
  for (int m = 0; m < x.rows.rows; ++m) {
    const std::int8_t* codes = x.codes.data() + static_cast<std::size_t>(m) * x.rows.stride;
    for (int row = tile_begin * kTileRows; row < std::min(rows, tile_end * kTileRows); ++row) {
      float sum = 0.0f;
      for (int g = 0; g < groups; ++g) {
        std::int64_t total = 0;
        for (int col = g * w.matrix.group; col < std::min(cols, (g + 1) * w.matrix.group); ++col) {
          total += w.packed.trits[static_cast<std::size_t>(row) * cols + col] * codes[col];
        }
        sum = std::fma(static_cast<float>(total), x.steps[m * groups + g] * w.scale(row, g), sum);
      }
      expected[m * y_stride + row] = sum;
    }
  }
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> actual(expected.size(), kUntouched);
    kernels->ternary_matmul(w.matrix, x.rows, tile_begin, tile_end, actual.data(), y_stride);
    check_same_bits(expected.data(), actual.data(), expected.size(),
                    std::string(kernels->name) + " " + what);
  }
}

void check_random(int rows, int cols, int group, int m, bool half, unsigned seed,
                  int tile_begin = 0, int tile_end = 1 << 20) {
  const Grouped w = grouped(rows, cols, group, half, seed);
  const std::vector<float> x = random_floats(static_cast<std::size_t>(m) * cols, seed + 1);
  check_product(w, quantized(x, m, cols, group), tile_begin,
                std::min(tile_end, w.matrix.row_tiles()),
                std::to_string(rows) + "x" + std::to_string(cols) + " in groups of " +
                    std::to_string(group) + " by " + std::to_string(m));
}

TEST(grouped_every_number_of_rows) {
  for (int m = 1; m <= 20; ++m) check_random(50, 300, 128, m, m % 2 == 0, 100 + m);
}

TEST(grouped_odd_shapes) {
  unsigned seed = 1;
  for (int rows : {1, 15, 16, 17, 33}) {
    for (int cols : {1, 16, 63, 64, 65, 127, 128, 129, 200, 256, 257, 700}) {
      for (int group : {64, 128, 256, 512}) {
        for (int m : {1, 2, 5, 9}) {
          ++seed;
          check_random(rows, cols, group, m, seed % 2 == 0, seed);
        }
      }
    }
  }
}

TEST(grouped_tile_ranges) {
  unsigned seed = 9000;
  for (int begin = 0; begin <= 4; ++begin) {
    for (int end = begin; end <= 5; ++end) {
      for (int m : {1, 7}) check_random(70, 200, 128, m, true, ++seed, begin, end);
    }
  }
}

TEST(grouped_real_widths) {
  check_random(48, 2048, 128, 1, true, 1);
  check_random(48, 6144, 128, 1, true, 2);
  check_random(48, 12288, 128, 8, true, 3);
}

TEST(grouped_extremes) {
  // The largest magnitudes in every place: no partial sum overflows.
  for (int group : {64, 128, 1024}) {
    for (int sign : {-1, 1}) {
      Grouped w = grouped(16, 2048, group, false, 5);
      w.packed = packed_matrix(16, 2048, 1.0f, [&](int, int) { return sign; });
      w.matrix.tiles = w.packed.tiles.data();
      for (int m : {1, 3}) {
        const std::vector<float> x(static_cast<std::size_t>(m) * 2048, -1.0f);
        check_product(w, quantized(x, m, 2048, group), 0, 1, "extremes");
      }
    }
  }
}

TEST(one_bad_group_makes_its_rows_nan) {
  const Grouped w = grouped(16, 256, 128, true, 7);
  std::vector<float> x = random_floats(512, 8);
  x[256 + 130] = std::numeric_limits<float>::infinity();
  const GroupedRows rows = quantized(x, 2, 256, 128);
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> y(32);
    kernels->ternary_matmul(w.matrix, rows.rows, 0, 1, y.data(), 16);
    for (int row = 0; row < 16; ++row) {
      CHECK(!std::isnan(y[row]));
      CHECK(std::isnan(y[16 + row]));
    }
  }
}

TEST(groups_are_rounded_by_themselves) {
  std::vector<float> x(200, 1.0f);
  x[150] = 1000.0f;
  const GroupedRows rows = quantized(x, 1, 200, 128);
  CHECK_EQ(static_cast<int>(rows.codes[0]), 127);
  CHECK_EQ(static_cast<int>(rows.codes[128]), 0);
  CHECK_EQ(static_cast<int>(rows.codes[150]), 127);
  CHECK_EQ(static_cast<int>(rows.codes[255]), 0);  // padding
  CHECK_EQ(rows.sums[0], 127 * 128);
  CHECK_EQ(rows.sums[1], 127);
}

TEST(a_row_comes_back_as_floats) {
  for (bool half : {false, true}) {
    const Grouped w = grouped(37, 300, 128, half, 11);
    std::vector<float> out(300);
    for (int row : {0, 15, 16, 36}) {
      ternary_row(w.matrix, row, out.data());
      for (int col = 0; col < 300; ++col) {
        CHECK_EQ(out[col],
                 static_cast<float>(w.packed.trits[row * 300 + col]) * w.scale(row, col / 128));
      }
    }
  }
}

}  // namespace
}  // namespace sterna

// Products with chosen rows and columns: every table against plain integers, bit for bit.
#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/relayout.h"
#include "kernels/sparse.h"
#include "kernels/sparse_kernels.h"
#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kUntouched = -12345.5f;

PackedMatrix random_matrix(int rows, int cols, TernaryLayout layout, unsigned seed) {
  std::mt19937 generator(seed);
  PackedMatrix packed = packed_matrix(
      rows, cols, 0.731f, [&](int, int) { return static_cast<int>(generator() % 3) - 1; });
  packed.tiles.assign(packed_bytes(rows, cols, layout), 0xff);
  pack_ternary(packed.trits.data(), rows, cols, packed.tiles.data(), layout);
  packed.matrix = {packed.tiles.data(), rows, cols, 0.731f, layout};
  return packed;
}

// Codes of which a share is zero: columns for all rows alike where `shared`.
CodeRows random_codes(int rows, int cols, double density, bool shared, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<bool> active(cols);
  for (int col = 0; col < cols; ++col) active[col] = (generator() % 1000) < density * 1000;
  return code_rows(rows, cols, [&](int, int col) {
    const bool on = shared ? active[col] : (generator() % 1000) < density * 1000;
    const int code = static_cast<int>(generator() % 256) - 128;
    return on ? code : 0;
  });
}

float expected_at(const PackedMatrix& w, const CodeRows& x, int m, int row) {
  const int cols = w.matrix.cols;
  const std::int8_t* codes = x.codes.data() + static_cast<std::size_t>(m) * x.rows.stride;
  std::int64_t total = 0;
  for (int col = 0; col < cols; ++col) {
    total += w.trits[static_cast<std::size_t>(row) * cols + col] * codes[col];
  }
  return static_cast<float>(total) * (x.steps[m] * w.matrix.scale);
}

void check_rows(const PackedMatrix& w, const CodeRows& x, const std::vector<std::int32_t>& list,
                const std::string& what) {
  const std::size_t stride = static_cast<std::size_t>(w.matrix.rows) + 5;
  std::vector<float> expected(x.rows.rows * stride, kUntouched);
  for (int m = 0; m < x.rows.rows; ++m) {
    for (const int row : list) expected[m * stride + row] = expected_at(w, x, m, row);
  }
  for (const Kernels* kernels : available_kernels()) {
    SparseProduct product(*kernels);
    std::vector<float> actual(expected.size(), kUntouched);
    product.multiply_rows(w.matrix, x.rows, list.data(), static_cast<int>(list.size()),
                          actual.data(), stride);
    check_same_bits(expected.data(), actual.data(), expected.size(),
                    std::string(kernels->name) + " " + what);
  }
}

void check_columns(const PackedMatrix& w, const CodeRows& x, int unit_begin, int unit_end,
                   const std::string& what) {
  int needed = 0;
  for (int col = 0; col < w.matrix.cols; ++col) {
    bool any = false;
    for (int m = 0; m < x.rows.rows; ++m) any = any || x.codes[m * x.rows.stride + col] != 0;
    needed += any ? 1 : 0;
  }
  const std::size_t stride = static_cast<std::size_t>(w.matrix.rows) + 5;
  std::vector<float> expected(x.rows.rows * stride, kUntouched);
  const int row_end = std::min(w.matrix.rows, unit_end * kColumnUnitRows);
  for (int m = 0; m < x.rows.rows; ++m) {
    for (int row = unit_begin * kColumnUnitRows; row < row_end; ++row) {
      expected[m * stride + row] = expected_at(w, x, m, row);
    }
  }
  for (const Kernels* kernels : available_kernels()) {
    SparseProduct product(*kernels);
    for (int round = 0; round < 2; ++round) {  // the second one meets used memory
      std::vector<float> actual(expected.size(), kUntouched);
      CHECK_EQ(product.find_columns(x.rows, w.matrix.cols), needed);
      product.multiply_columns(w.matrix, x.rows, unit_begin, unit_end, actual.data(), stride);
      check_same_bits(expected.data(), actual.data(), expected.size(),
                      std::string(kernels->name) + " " + what);
    }
  }
}

std::vector<std::int32_t> random_list(int rows, double density, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::int32_t> list;
  for (int row = 0; row < rows; ++row) {
    if ((generator() % 1000) < density * 1000) list.push_back(row);
  }
  return list;
}

TEST(sparse_rows_of_any_density_and_shape) {
  unsigned seed = 1;
  for (const int rows : {1, 16, 17, 100, 333}) {
    for (const int cols : {1, 16, 60, 192, 256, 257, 700}) {
      const PackedMatrix w = random_matrix(rows, cols, TernaryLayout::kRows, ++seed);
      for (const int m : {1, 2, 3, 5, 17}) {
        for (const double density : {0.0, 0.1, 0.5, 1.0}) {
          ++seed;
          check_rows(w, random_codes(m, cols, 1.0, false, seed), random_list(rows, density, seed),
                     std::to_string(rows) + "x" + std::to_string(cols) + " by " +
                         std::to_string(m) + " rows at " + std::to_string(density));
        }
      }
    }
  }
}

TEST(sparse_columns_of_any_density_and_shape) {
  unsigned seed = 100;
  for (const int rows : {1, 100, 128, 129, 256, 300, 520}) {
    for (const int cols : {1, 15, 16, 70, 257}) {
      const PackedMatrix w = random_matrix(rows, cols, TernaryLayout::kColumns, ++seed);
      const int units = column_units(w.matrix);
      for (const int m : {1, 2, 4, 9, 17}) {
        for (const double density : {0.0, 0.1, 0.5, 1.0}) {
          ++seed;
          check_columns(w, random_codes(m, cols, density, seed % 2 == 0, seed), 0, units,
                        std::to_string(rows) + "x" + std::to_string(cols) + " by " +
                            std::to_string(m) + " columns at " + std::to_string(density));
        }
      }
    }
  }
}

TEST(sparse_columns_in_every_range_of_units) {
  const PackedMatrix w = random_matrix(700, 90, TernaryLayout::kColumns, 7);
  const int units = column_units(w.matrix);
  CHECK_EQ(units, 6);
  for (int begin = 0; begin <= units; ++begin) {
    for (int end = begin; end <= units; ++end) {
      for (const int m : {1, 3}) {
        check_columns(w, random_codes(m, 90, 0.4, false, 9), begin, end,
                      "units " + std::to_string(begin) + ".." + std::to_string(end));
      }
    }
  }
}

TEST(sparse_real_widths) {
  const PackedMatrix up = random_matrix(400, 2560, TernaryLayout::kRows, 11);
  const PackedMatrix down = random_matrix(300, 6912, TernaryLayout::kColumns, 12);
  for (const int m : {1, 2, 20}) {
    check_rows(up, random_codes(m, 2560, 1.0, false, 13), random_list(400, 0.5, 14), "2560");
    check_columns(down, random_codes(m, 6912, 0.3, false, 15), 0, 3, "6912");
  }
}

TEST(sparse_extremes) {
  for (const int cols : {2561, kMaxTernaryCols}) {
    for (const int sign : {-1, 1}) {
      for (const int code : {127, -128}) {
        PackedMatrix w = packed_matrix(3, cols, 1.0f, [&](int, int) { return sign; });
        const CodeRows x = code_rows(1, cols, [&](int, int) { return code; });
        for (const TernaryLayout layout : {TernaryLayout::kRows, TernaryLayout::kColumns}) {
          if (layout == TernaryLayout::kColumns && cols > 3000 && sign < 0) continue;
          w.tiles.assign(packed_bytes(3, cols, layout), 0);
          pack_ternary(w.trits.data(), 3, cols, w.tiles.data(), layout);
          w.matrix = {w.tiles.data(), 3, cols, 1.0f, layout};
          if (layout == TernaryLayout::kRows) {
            check_rows(w, x, {0, 2}, "extreme rows");
          } else {
            check_columns(w, x, 0, 1, "extreme columns");
          }
        }
      }
    }
  }
}

TEST(sparse_nan_step_is_nan_even_where_nothing_is_read) {
  const PackedMatrix w = random_matrix(40, 60, TernaryLayout::kColumns, 21);
  for (const int m : {1, 2}) {
    CodeRows x = code_rows(m, 60, [](int, int) { return 0; });
    x.steps[0] = std::numeric_limits<float>::quiet_NaN();
    check_columns(w, x, 0, 1, "NaN step");
  }
}

TEST(packing_round_trip_by_rows_and_columns) {
  std::mt19937 generator(7);
  for (const TernaryLayout layout : {TernaryLayout::kRows, TernaryLayout::kColumns}) {
    for (const int rows : {1, 16, 200, 300}) {
      for (const int cols : {1, 17, 256, 300}) {
        const PackedMatrix packed = random_matrix(rows, cols, layout, generator());
        std::vector<std::int8_t> unpacked(packed.trits.size());
        unpack_ternary(packed.tiles.data(), rows, cols, unpacked.data(), layout);
        CHECK(unpacked == packed.trits);
        const int lines = layout == TernaryLayout::kRows ? (cols + 255) / 256 : (rows + 255) / 256;
        CHECK_EQ(
            packed.tiles.size(),
            static_cast<std::size_t>(layout == TernaryLayout::kRows ? rows : cols) * lines * 64);
      }
    }
  }
}

TEST(relayout_gives_what_packing_gives) {
  std::mt19937 generator(70);
  for (const int rows : {1, 16, 100, 256, 300, 520}) {
    for (const int cols : {1, 17, 256, 300}) {
      const PackedMatrix tiles = packed_matrix(
          rows, cols, 1.0f, [&](int, int) { return static_cast<int>(generator() % 3) - 1; });
      for (const TernaryLayout layout : {TernaryLayout::kRows, TernaryLayout::kColumns}) {
        std::vector<std::uint8_t> expected(packed_bytes(rows, cols, layout));
        pack_ternary(tiles.trits.data(), rows, cols, expected.data(), layout);
        std::vector<std::uint8_t> actual(expected.size(), 0xff);
        if (layout == TernaryLayout::kRows) {
          const int count = tiles.matrix.row_tiles();
          copy_as_rows(tiles.matrix, 0, count / 2, actual.data());
          copy_as_rows(tiles.matrix, count / 2, count, actual.data());
        } else {
          const int count = (rows + 255) / 256;
          copy_as_columns(tiles.matrix, 0, count / 2, actual.data());
          copy_as_columns(tiles.matrix, count / 2, count, actual.data());
        }
        CHECK(actual == expected);
      }
    }
  }
}

TEST(packing_by_rows_and_columns_refuses_other_values) {
  for (const TernaryLayout layout : {TernaryLayout::kRows, TernaryLayout::kColumns}) {
    std::vector<std::int8_t> trits(32, 0);
    std::vector<std::uint8_t> packed(packed_bytes(2, 16, layout));
    trits[20] = 2;
    CHECK_THROWS(pack_ternary(trits.data(), 2, 16, packed.data(), layout),
                 ErrorCode::kInvalidArgument);
    std::fill(packed.begin(), packed.end(), std::uint8_t{0xff});
    CHECK_THROWS(unpack_ternary(packed.data(), 2, 16, trits.data(), layout),
                 ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sterna

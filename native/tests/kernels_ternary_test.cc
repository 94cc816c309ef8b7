// The ternary product: exact against plain integers, and every table against the reference.
#include <algorithm>
#include <limits>
#include <thread>

#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kUntouched = -12345.5f;

// The product of every table for tiles [tile_begin, tile_end), against integers of 64 bits.
void check_product(const PackedMatrix& w, const CodeRows& x, int tile_begin, int tile_end,
                   const std::string& what) {
  const int rows = w.matrix.rows;
  const int cols = w.matrix.cols;
  const std::size_t y_stride = static_cast<std::size_t>(rows) + 3;
  std::vector<float> expected(x.rows.rows * y_stride, kUntouched);
  for (int m = 0; m < x.rows.rows; ++m) {
    const std::int8_t* codes = x.codes.data() + static_cast<std::size_t>(m) * x.rows.stride;
    for (int row = tile_begin * kTileRows; row < std::min(rows, tile_end * kTileRows); ++row) {
      std::int64_t total = 0;
      for (int col = 0; col < cols; ++col) {
        total += w.trits[static_cast<std::size_t>(row) * cols + col] * codes[col];
      }
      expected[m * y_stride + row] = static_cast<float>(total) * (x.steps[m] * w.matrix.scale);
    }
  }
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> actual(expected.size(), kUntouched);
    kernels->ternary_matmul(w.matrix, x.rows, tile_begin, tile_end, actual.data(), y_stride);
    check_same_bits(expected.data(), actual.data(), expected.size(),
                    std::string(kernels->name) + " " + what);
  }
}

void check_random(int rows, int cols, int m, int tile_begin, int tile_end, unsigned seed) {
  std::mt19937 generator(seed);
  const PackedMatrix w = packed_matrix(
      rows, cols, 0.731f, [&](int, int) { return static_cast<int>(generator() % 3) - 1; });
  const CodeRows x =
      code_rows(m, cols, [&](int, int) { return static_cast<int>(generator() % 256) - 128; });
  check_product(w, x, tile_begin, tile_end,
                std::to_string(rows) + "x" + std::to_string(cols) + " by " + std::to_string(m) +
                    " tiles " + std::to_string(tile_begin) + ".." + std::to_string(tile_end));
}

TEST(ternary_every_number_of_rows) {
  for (int m = 1; m <= 40; ++m) check_random(150, 200, m, 0, 10, 1000 + m);
  for (int m : {63, 64, 65, 100}) check_random(70, 130, m, 0, 5, 1000 + m);
}

TEST(ternary_odd_shapes) {
  unsigned seed = 1;
  for (int rows : {1, 5, 15, 16, 17, 31, 32, 33, 48, 64, 65, 80}) {
    for (int cols : {1, 3, 4, 15, 16, 17, 63, 64, 65, 100, 255, 256, 257, 1000}) {
      for (int m : {1, 2, 3, 4, 7, 17}) check_random(rows, cols, m, 0, (rows + 15) / 16, ++seed);
    }
  }
}

TEST(ternary_tile_ranges) {
  unsigned seed = 5000;
  for (int begin = 0; begin <= 6; ++begin) {
    for (int end = begin; end <= 7; ++end) {
      for (int m : {1, 2, 5, 13}) check_random(101, 96, m, begin, end, ++seed);
    }
  }
}

TEST(ternary_real_widths) {
  check_random(64, 2560, 1, 0, 4, 1);
  check_random(64, 6912, 1, 0, 4, 2);
  check_random(64, 6912, 5, 0, 4, 3);
  check_random(96, 8640, 16, 0, 6, 4);
}

TEST(ternary_threads_share_a_matrix) {
  // Each thread takes a range of tiles, and each lays activations out in memory of its own.
  std::mt19937 generator(77);
  const int rows = 16 * 24;
  const int cols = 300;
  const PackedMatrix w = packed_matrix(
      rows, cols, 0.5f, [&](int, int) { return static_cast<int>(generator() % 3) - 1; });
  for (int m : {1, 3, 21}) {
    const CodeRows x =
        code_rows(m, cols, [&](int, int) { return static_cast<int>(generator() % 255) - 127; });
    std::vector<float> expected(static_cast<std::size_t>(m) * rows);
    reference_kernels().ternary_matmul(w.matrix, x.rows, 0, 24, expected.data(), rows);
    for (const Kernels* kernels : tables_to_test()) {
      std::vector<float> actual(expected.size(), kUntouched);
      std::vector<std::thread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
          for (int round = 0; round < 20; ++round) {
            kernels->ternary_matmul(w.matrix, x.rows, 6 * t, 6 * t + 6, actual.data(), rows);
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      check_same_bits(expected.data(), actual.data(), actual.size(), kernels->name);
    }
  }
}

TEST(ternary_extremes) {
  for (int cols : {16, 64, 1024, 2561, 20000, kMaxTernaryCols}) {
    for (int sign : {-1, 1}) {
      const PackedMatrix w = packed_matrix(33, cols, 1.0f, [&](int row, int) {
        return row % 3 == 2 ? -sign : row % 3 == 1 ? 0 : sign;
      });
      for (int m : {1, 2, 3, 4, 6, 13}) {
        if (cols > 20000 && m > 2 && m != 6) continue;
        const std::string what =
            "all " + std::to_string(sign) + ", " + std::to_string(cols) + " columns";
        check_product(w, code_rows(m, cols, [](int, int) { return 127; }), 0, 3, what + ", 127");
        check_product(w, code_rows(m, cols, [](int, int) { return -128; }), 0, 3, what + ", -128");
        check_product(w, code_rows(m, cols, [](int, int col) { return col % 2 ? 127 : -127; }), 0,
                      3, what + ", alternating");
      }
    }
  }
}

TEST(ternary_nan_step_poisons_only_its_row) {
  const PackedMatrix w =
      packed_matrix(20, 50, 1.0f, [](int row, int col) { return (row + col) % 3 - 1; });
  CodeRows x = code_rows(3, 50, [](int row, int col) { return row == 1 ? 0 : col - 20; });
  x.steps[1] = std::numeric_limits<float>::quiet_NaN();
  check_product(w, x, 0, 2, "NaN step");
}

TEST(ternary_no_rows) {
  const PackedMatrix w = packed_matrix(16, 16, 1.0f, [](int, int) { return 1; });
  float y = kUntouched;
  for (const Kernels* kernels : available_kernels()) {
    kernels->ternary_matmul(w.matrix, QuantizedRows{nullptr, nullptr, nullptr, 0, 64}, 0, 1, &y,
                            16);
  }
  CHECK_EQ(y, kUntouched);
}

TEST(packing_round_trip) {
  std::mt19937 generator(7);
  for (int rows : {1, 16, 17, 50}) {
    for (int cols : {1, 4, 16, 17, 63, 100}) {
      const PackedMatrix packed = packed_matrix(
          rows, cols, 1.0f, [&](int, int) { return static_cast<int>(generator() % 3) - 1; });
      CHECK_EQ(packed.tiles.size(),
               static_cast<std::size_t>((rows + 15) / 16) * ((cols + 15) / 16) * 64);
      std::vector<std::int8_t> unpacked(packed.trits.size());
      unpack_ternary(packed.tiles.data(), rows, cols, unpacked.data());
      CHECK(unpacked == packed.trits);
      // Sixteen rows at a time give the same bytes.
      Aligned<std::uint8_t> piecewise(packed.tiles.size(), 0xff);
      for (int row = 0; row < rows; row += kTileRows) {
        pack_ternary_rows(packed.trits.data() + static_cast<std::size_t>(row) * cols, row,
                          std::min(rows, row + kTileRows), cols, piecewise.data());
      }
      CHECK(piecewise == packed.tiles);
    }
  }
}

TEST(packing_layout) {
  // Row 3, column 6 of a block: byte 4 * 3 + 2, bits 2..3.
  const PackedMatrix packed =
      packed_matrix(16, 16, 1.0f, [](int row, int col) { return row == 3 && col == 6 ? -1 : 0; });
  for (int byte = 0; byte < kTileBytes; ++byte) {
    CHECK_EQ(static_cast<int>(packed.tiles[byte]), byte == 14 ? 0x51 : 0x55);
  }
  // What lies beyond the matrix is code 1.
  const PackedMatrix small = packed_matrix(1, 1, 1.0f, [](int, int) { return 1; });
  CHECK_EQ(static_cast<int>(small.tiles[0]), 0x56);
  CHECK(std::all_of(small.tiles.begin() + 1, small.tiles.end(),
                    [](std::uint8_t byte) { return byte == 0x55; }));
}

TEST(packing_refuses_other_values) {
  std::vector<std::int8_t> trits(32, 0);
  std::vector<std::uint8_t> tiles(packed_bytes(2, 16));
  trits[20] = 2;
  CHECK_THROWS(pack_ternary(trits.data(), 2, 16, tiles.data()), ErrorCode::kInvalidArgument);
  trits[20] = -2;
  CHECK_THROWS(pack_ternary(trits.data(), 2, 16, tiles.data()), ErrorCode::kInvalidArgument);
  CHECK_THROWS(pack_ternary_rows(trits.data(), 8, 10, 16, tiles.data()),
               ErrorCode::kInvalidArgument);
  std::fill(tiles.begin(), tiles.end(), std::uint8_t{0xff});
  CHECK_THROWS(unpack_ternary(tiles.data(), 2, 16, trits.data()), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace sterna

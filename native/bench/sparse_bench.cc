// What skipping rows and columns is worth: the layouts kRows and kColumns against row tiles, on one
// core, by the share of rows (or columns) that is needed and by the rows of activations.
//
//   sparse_bench [--repeats N] [--table NAME] [--huge-pages]
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/sparse.h"
#include "machine.h"

namespace sterna::bench {
namespace {

constexpr int kHidden = 2560;  // the feed-forward block of bitnet-b1.58-2B-4T
constexpr int kInner = 6912;
constexpr std::size_t kMatrixBytes = static_cast<std::size_t>(kHidden) * kInner / 4;
constexpr int kCopies = 64;  // far more than the caches hold
constexpr double kBatchSeconds = 0.02;

struct Activations {
  std::vector<std::int8_t> memory;
  std::vector<float> steps;
  std::vector<std::int32_t> sums;
  QuantizedRows rows;
};

// Codes of which a share is not zero.
void fill(Activations& x, int rows, int cols, double density, std::mt19937& random) {
  x.memory.assign(static_cast<std::size_t>(rows) * cols + 64, 0);
  x.steps.assign(rows, 0.01f);
  x.sums.assign(rows, 0);
  const auto address = reinterpret_cast<std::uintptr_t>(x.memory.data());
  std::int8_t* codes = x.memory.data() + (64 - address % 64) % 64;
  for (int m = 0; m < rows; ++m) {
    for (int col = 0; col < cols; ++col) {
      if (random() % 1000 >= density * 1000) continue;
      const auto code = static_cast<std::int8_t>(random() % 127 + 1);
      codes[static_cast<std::size_t>(m) * cols + col] = code;
      x.sums[m] += code;
    }
  }
  x.rows = {codes, x.steps.data(), x.sums.data(), rows, cols};
}

struct Bench {
  const Kernels& kernels;
  const std::uint8_t* weights;
  int repeats;
  int copy = 0;

  const std::uint8_t* next() {
    copy = (copy + kCopies - 1) % kCopies;  // backwards: reading ahead helps nobody
    return weights + copy * kMatrixBytes;
  }

  double dense(int rows, int cols, const QuantizedRows& x, std::vector<float>& y) {
    TernaryMatrix w{nullptr, rows, cols, 1.0f};
    return measure(repeats, kBatchSeconds,
                   [&] {
                     w.tiles = next();
                     kernels.ternary_matmul(w, x, 0, w.row_tiles(), y.data(), rows);
                   })
        .best;
  }

  void line(const char* what, int rows, double density, double read, double time, double plain) {
    std::printf("%-12s %-8s %5d %8.2f %11.1f %11.1f %8.2f %7.2fx\n", kernels.name, what, rows,
                density, time * 1e6, plain * 1e6, read * kMatrixBytes / time * 1e-9, plain / time);
    std::fflush(stdout);
  }

  void run() {
    std::mt19937 random(1);
    Activations x;
    std::vector<float> y;
    SparseProduct product(kernels);
    for (const int rows : {1, 2, 4, 8}) {
      y.resize(static_cast<std::size_t>(rows) * kInner);
      fill(x, rows, kHidden, 1.0, random);
      const double plain_up = dense(kInner, kHidden, x.rows, y);
      for (const double density : {0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0}) {
        // The rows that any of the activations needs.
        const double needed = 1.0 - std::pow(1.0 - density, rows);
        std::vector<std::int32_t> list;
        for (int row = 0; row < kInner; ++row) {
          if (random() % 1000 < needed * 1000) list.push_back(row);
        }
        TernaryMatrix w{nullptr, kInner, kHidden, 1.0f, TernaryLayout::kRows};
        const double time =
            measure(repeats, kBatchSeconds, [&] {
              w.tiles = next();
              product.multiply_rows(w, x.rows, list.data(), static_cast<int>(list.size()), y.data(),
                                    kInner);
            }).best;
        line("rows", rows, density, static_cast<double>(list.size()) / kInner, time, plain_up);
      }
      fill(x, rows, kInner, 1.0, random);
      const double plain_down = dense(kHidden, kInner, x.rows, y);
      for (const double density : {0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0}) {
        fill(x, rows, kInner, density, random);
        TernaryMatrix w{nullptr, kHidden, kInner, 1.0f, TernaryLayout::kColumns};
        const int units = column_units(w);
        const double time = measure(repeats, kBatchSeconds, [&] {
                              w.tiles = next();
                              product.find_columns(x.rows, kInner);
                              product.multiply_columns(w, x.rows, 0, units, y.data(), kHidden);
                            }).best;
        line("columns", rows, density, 1.0 - std::pow(1.0 - density, rows), time, plain_down);
      }
    }
  }
};

int main_with(int argc, char** argv) {
  int repeats = 7;
  std::string table;
  bool huge_pages = false;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (i + 1 < argc && name == "--repeats") {
      repeats = std::max(1, std::atoi(argv[++i]));
    } else if (i + 1 < argc && name == "--table") {
      table = argv[++i];
    } else if (name == "--huge-pages") {
      huge_pages = true;
    } else {
      std::fprintf(stderr, "usage: %s [--repeats N] [--table NAME] [--huge-pages]\n", argv[0]);
      return 2;
    }
  }
  constexpr std::align_val_t kHugePage{std::size_t{2} << 20};
  const std::size_t size = kCopies * kMatrixBytes;
  auto* weights = static_cast<std::uint8_t*>(::operator new(size, kHugePage));
  madvise(weights, size, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  std::mt19937 random(2);
  for (std::size_t i = 0; i < size; i += 4) {
    const std::uint32_t bits = random();
    const std::uint32_t codes = bits & ~(bits >> 1 & 0x55555555u);  // no code 3
    std::memcpy(weights + i, &codes, sizeof codes);
  }
  std::printf("%-12s %-8s %5s %8s %11s %11s %8s %8s\n", "table", "layout", "rows", "density",
              "best us", "tiles us", "GB/s", "faster");
  for (const Kernels* kernels : available_kernels()) {
    if (table.empty() ? kernels == &reference_kernels() : table != kernels->name) continue;
    Bench{*kernels, weights, repeats}.run();
  }
  ::operator delete(weights, kHugePage);
  return 0;
}

}  // namespace
}  // namespace sterna::bench

int main(int argc, char** argv) { return sterna::bench::main_with(argc, argv); }

// Speed of every kernel table that this host can run, on one core, against the host's own floors:
// streaming-read bandwidth and the peak of the int8 dot product, measured in the same run. Weights
// cycle through enough memory to defeat the caches, as they do in a model; backwards, so that what
// is read beyond the end of one matrix is of no use to the next.
//
//   kernels_bench [--repeats N] [--table NAME] [--only ternary|dense|other] [--huge-pages]
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "machine.h"

namespace sterna::bench {
namespace {

constexpr std::size_t kWorkingSet = std::size_t{192} << 20;  // bytes of weights to cycle through
constexpr double kBatchSeconds = 0.003;

struct Options {
  int repeats = 21;
  std::string table;
  std::string only;
  bool huge_pages = false;
};

struct Floors {
  double read = 0.0;  // bytes per second
  double peak = 0.0;  // multiply-accumulates per second; 0: unknown
};

// Memory aligned to a huge page and filled with random bytes. Huge pages are asked for or declined,
// because they matter: weights mapped from a file have small ones unless the file system does
// better.
class Buffer {
 public:
  Buffer(std::size_t size, unsigned seed, bool huge_pages = false) : size_(size) {
    data_ = static_cast<std::uint8_t*>(::operator new(size, kHugePage));
    madvise(data_, size, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    std::uint32_t state = seed * 2654435761u + 1;
    for (std::size_t i = 0; i < size; ++i) {
      state = state * 1664525u + 1013904223u;
      data_[i] = static_cast<std::uint8_t>(state >> 24);
    }
  }
  ~Buffer() { ::operator delete(data_, kHugePage); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::size_t size() const { return size_; }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }

 private:
  static constexpr std::align_val_t kHugePage{std::size_t{2} << 20};
  std::size_t size_;
  std::uint8_t* data_;
};

void print_header(const char* unit) {
  std::printf("%-12s %-14s %13s %5s %11s %11s %8s %9s %9s\n", "table", "kernel", "shape", "rows",
              "best us", "median us", "GB/s", unit, "of floor");
}

// One line: the share of the floor is the time that bandwidth or arithmetic alone would take.
void print_line(const Kernels& kernels, const char* what, const std::string& shape, int rows,
                const Timing& time, double bytes, double macs, const Floors& floors) {
  const double by_memory = bytes / floors.read;
  const double by_arithmetic = floors.peak > 0.0 ? macs / floors.peak : 0.0;
  const bool memory = by_memory >= by_arithmetic;
  std::printf("%-12s %-14s %13s %5d %11.1f %11.1f %8.2f %9.1f %5.0f %% %s\n", kernels.name, what,
              shape.c_str(), rows, time.best * 1e6, time.median * 1e6, bytes / time.best * 1e-9,
              macs / time.best * 1e-9, 100.0 * std::max(by_memory, by_arithmetic) / time.best,
              memory ? "read" : "int8");
  std::fflush(stdout);
}

std::string shape_name(int rows, int cols) {
  return std::to_string(cols) + "x" + std::to_string(rows);
}

void ternary(const Kernels& kernels, const Floors& floors, const Options& options, Buffer& weights,
             bool quick) {
  struct Shape {
    int rows;
    int cols;
  };
  for (const Shape shape :
       {Shape{6912, 2560}, Shape{2560, 6912}, Shape{2560, 2560}, Shape{640, 2560}}) {
    for (const int m : {1, 2, 3, 4, 6, 8, 16, 64, 256}) {
      if (quick && (m > 4 || shape.rows > 1000)) continue;
      TernaryMatrix w{weights.as<std::uint8_t>(), shape.rows, shape.cols, 1.0f};
      const std::size_t bytes = static_cast<std::size_t>(w.row_tiles()) * w.col_blocks() * 64;
      const std::size_t copies = kWorkingSet / bytes;
      const int stride = (shape.cols + 63) / 64 * 64;
      Buffer codes(static_cast<std::size_t>(m) * stride, 3);
      std::vector<float> steps(m, 0.01f);
      std::vector<std::int32_t> sums(m, 0);
      const QuantizedRows x{codes.as<std::int8_t>(), steps.data(), sums.data(), m, stride};
      std::vector<float> y(static_cast<std::size_t>(m) * shape.rows);
      std::size_t copy = 0;
      const Timing time = measure(options.repeats, kBatchSeconds, [&] {
        w.tiles = weights.as<std::uint8_t>() + copy * bytes;
        copy = (copy + copies - 1) % copies;
        kernels.ternary_matmul(w, x, 0, w.row_tiles(), y.data(), shape.rows);
      });
      print_line(kernels, "ternary", shape_name(shape.rows, shape.cols), m, time, bytes,
                 static_cast<double>(shape.rows) * shape.cols * m, floors);
    }
  }
}

void dense(const Kernels& kernels, const Floors& floors, const Options& options, Buffer& weights) {
  constexpr int kColumns = 2560;
  constexpr int kRows = 2048;
  for (const int m : {1, 2, 4, 8, 16}) {
    Buffer input(static_cast<std::size_t>(m) * kColumns * sizeof(float), 3);
    float* x = input.as<float>();
    std::fill_n(x, static_cast<std::size_t>(m) * kColumns, 0.5f);
    std::vector<float> y(static_cast<std::size_t>(m) * kRows);
    const double macs = static_cast<double>(kRows) * kColumns * m;
    for (const bool bf16 : {true, false}) {
      const std::size_t bytes = static_cast<std::size_t>(kRows) * kColumns * (bf16 ? 2 : 4);
      const std::size_t copies = kWorkingSet / bytes;
      std::size_t copy = 0;
      const Timing time = measure(options.repeats, kBatchSeconds, [&] {
        const std::uint8_t* w = weights.as<std::uint8_t>() + copy * bytes;
        copy = (copy + copies - 1) % copies;
        if (bf16) {
          kernels.matmul_bf16(reinterpret_cast<const std::uint16_t*>(w), kColumns, 0, kRows, x, m,
                              kColumns, y.data(), kRows);
        } else {
          kernels.matmul_f32(reinterpret_cast<const float*>(w), kColumns, 0, kRows, x, m, kColumns,
                             y.data(), kRows);
        }
      });
      print_line(kernels, bf16 ? "bf16" : "f32", shape_name(kRows, kColumns), m, time, bytes, macs,
                 {floors.read, 0.0});
    }
  }
}

// Element-wise kernels on data that stays in the cache; the last column means nothing there.
void small(const Kernels& kernels, const Options& options) {
  constexpr int kSize = 6912;
  std::vector<float> x(kSize, 0.5f);
  const std::vector<float> weight(kSize, 0.9f);
  std::vector<float> out(kSize);
  Buffer codes(kSize + 64, 1);
  float step = 0.0f;
  std::int32_t sum = 0;
  const auto line = [&](const char* name, const Timing& time) {
    std::printf("%-12s %-14s %13d %5d %11.2f %11.2f %8s %9.2f\n", kernels.name, name, kSize, 1,
                time.best * 1e6, time.median * 1e6, "", kSize / time.best * 1e-9);
  };
  const auto timed = [&](auto call) { return measure(options.repeats, kBatchSeconds, call); };
  line("quantize_row", timed([&] {
         kernels.quantize_row(x.data(), kSize, codes.as<std::int8_t>(), kSize, &step, &sum);
       }));
  line("rms_norm",
       timed([&] { kernels.rms_norm(x.data(), weight.data(), kSize, 1e-5f, out.data()); }));
  line("relu2_mul", timed([&] { kernels.relu2_mul(x.data(), weight.data(), kSize, out.data()); }));
  line("silu_mul", timed([&] { kernels.silu_mul(x.data(), weight.data(), kSize, out.data()); }));
  line("exp", timed([&] { kernels.exp(x.data(), kSize, out.data()); }));
  line("add", timed([&] { kernels.add(out.data(), weight.data(), kSize); }));
}

// Floats between -1 and 1 and ternary codes 0 to 2, so that no kernel meets NaN or code 3.
void fill_bf16(Buffer& buffer) {
  auto* words = buffer.as<std::uint16_t>();
  for (std::size_t i = 0; i < kWorkingSet / 2; ++i) {
    words[i] = static_cast<std::uint16_t>(0x3c00u | (words[i] & 0x81ffu));
  }
}
void fill_codes(Buffer& buffer) {
  auto* bytes = buffer.as<std::uint8_t>();
  for (std::size_t i = 0; i < kWorkingSet; ++i) {
    bytes[i] = static_cast<std::uint8_t>(bytes[i] & ~(bytes[i] >> 1 & 0x55u));
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (i + 1 < argc && name == "--repeats") {
      options.repeats = std::max(1, std::atoi(argv[++i]));
    } else if (i + 1 < argc && name == "--table") {
      options.table = argv[++i];
    } else if (i + 1 < argc && name == "--only") {
      options.only = argv[++i];
    } else if (name == "--huge-pages") {
      options.huge_pages = true;
    } else {
      std::fprintf(stderr,
                   "usage: %s [--repeats N] [--table NAME] [--only ternary|dense|other]"
                   " [--huge-pages]\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return options;
}

void run(const Options& options) {
  const auto wanted = [&](const char* part) {
    return options.only.empty() || options.only == part;
  };
  Buffer codes(kWorkingSet, 1, options.huge_pages);
  fill_codes(codes);
  Buffer floats(kWorkingSet, 2, options.huge_pages);
  fill_bf16(floats);
  Floors floors;
  const Timing read = streaming_read(codes.as<std::uint8_t>(), codes.size(), options.repeats + 4);
  floors.read = read.best;
  std::printf("streaming read, one core, %s pages: best %.1f GB/s, median %.1f GB/s\n",
              options.huge_pages ? "huge" : "small", read.best * 1e-9, read.median * 1e-9);
  for (const Kernels* kernels : available_kernels()) {
    if (!options.table.empty() && options.table != kernels->name) continue;
    const bool reference = kernels == &reference_kernels();
    if (reference && options.table.empty()) continue;  // minutes, and of no interest
    floors.peak = int8_peak(kernels->name, 4 * options.repeats);
    std::printf("\n%s: int8 peak, one core: %.1f GMAC/s\n", kernels->name, floors.peak * 1e-9);
    print_header("GMAC/s");
    if (wanted("ternary")) ternary(*kernels, floors, options, codes, reference);
    if (wanted("dense")) dense(*kernels, floors, options, floats);
    if (wanted("other")) small(*kernels, options);
  }
}

}  // namespace
}  // namespace sterna::bench

int main(int argc, char** argv) { sterna::bench::run(sterna::bench::parse(argc, argv)); }

// Attention of a whole model in the shape of bitnet-b1.58-2B-4T, for a prompt and for one decoded
// token, against its floors on this machine: the cache's bytes at streaming-read bandwidth, and the
// multiply-adds at the peak of single precision.
//
//   attention_bench [--tokens N] [--threads N] [--type f32|bf16|int8] [--table NAME] [--plain]
//                   [--only decode|prompt] [--repeats N] [--layers N]
//
// With --layers 1 and few tokens, the cache fits a processor cache: what arithmetic alone takes.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "machine.h"
#include "model/attention.h"

namespace sterna::bench {
namespace {

constexpr int kLayers = 30;
constexpr int kBatchRows = 256;  // rows of a prompt in one step
constexpr std::size_t kReadSize = std::size_t{192} << 20;
constexpr std::size_t kBlocksOverhead = 1;

struct Options {
  int tokens = 4096;
  int threads = 1;
  KvType type = KvType::kBf16;
  std::string table;
  std::string only;
  bool plain = false;
  int repeats = 5;
  int layers = 0;  // to cycle through
};

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double best_of(int repeats, const auto& call) {
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) {
    const double begin = wall_seconds();
    call();
    best = std::min(best, wall_seconds() - begin);
  }
  return best;
}

std::byte* pages(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  madvise(memory, bytes, MADV_HUGEPAGE);
  return static_cast<std::byte*>(memory);
}

ModelConfig shape() {
  ModelConfig config;
  config.heads = 20;
  config.kv_heads = 5;
  config.head_dim = 128;
  config.layers = kLayers;
  return config;
}

// Small numbers of every sign, in whatever type.
void fill(const KvLayout& kv, const Kernels& kernels) {
  std::vector<float> key(kv.head_dim);
  std::vector<float> value(kv.head_dim);
  std::uint32_t state = 1;
  const auto next = [&] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31f;
  };
  for (float& x : key) x = next();
  for (int block = 0; block < kv.blocks; ++block) {
    for (int head = 0; head < kv.kv_heads; ++head) {
      for (int t = 0; t < kKvBlockTokens; ++t) {
        key[t] = next();
        value[(t + head) % kv.head_dim] = next();
        for (int layer = 0; layer < kv.layers; ++layer) {
          kv.store(kernels, layer, head, block, t, key.data(), value.data());
        }
      }
    }
  }
}

void run(const Options& options) {
  const Kernels* kernels = available_kernels().front();
  for (const Kernels* each : available_kernels()) {
    if (each->name == options.table) kernels = each;
  }
  auto* memory = reinterpret_cast<std::uint8_t*>(pages(kReadSize));
  std::fill(memory, memory + kReadSize, std::uint8_t{1});
  const double read = streaming_read(memory, kReadSize, 7).best * options.threads;
  const double peak = float_peak(kernels->name, 40) * options.threads;
  munmap(memory, kReadSize);
  std::printf(
      "%s, %d threads: read %.1f GB/s and %.1f G multiply-adds/s if each core had its own\n",
      kernels->name, options.threads, read * 1e-9, peak * 1e-9);

  const ModelConfig config = shape();
  KvLayout kv;
  kv.type = options.type;
  kv.layers = kLayers;
  kv.blocks = options.tokens / kKvBlockTokens + static_cast<int>(kBlocksOverhead);
  kv.kv_heads = config.kv_heads;
  kv.head_dim = config.head_dim;
  // So many layers that none is in a cache when its turn comes again.
  kv.layers =
      std::clamp(static_cast<int>((std::size_t{200} << 20) / kv.layer_stride()), 2, kLayers);
  if (options.layers > 0) kv.layers = options.layers;
  kv.base = pages(kv.total_bytes());
  fill(kv, *kernels);
  std::vector<std::int32_t> table(kv.blocks);
  std::iota(table.begin(), table.end(), 0);

  const std::size_t row = static_cast<std::size_t>(config.heads) * config.head_dim;
  std::vector<float> query(kBatchRows * row, 0.01f);
  std::vector<float> out(query.size());
  ThreadPool pool(options.threads);
  Attention attention(config, *kernels, !options.plain);
  const auto layer = [&](int index) {
    const AttentionLayer states{index, &kv, query.data(), out.data()};
    pool.run_team(1e9, [&](const Team& team) {
      attention.run(team.worker(), states, [](int) {});
      team.sync();
      attention.join(team.worker(), team.size(), states);
      team.sync();
    });
  };
  const double cache_bytes = static_cast<double>(options.tokens) / kKvBlockTokens *
                             static_cast<double>(kv.block_stride()) * kLayers;
  const double adds = 2.0 * options.tokens * static_cast<double>(row) * kLayers;

  const auto print = [&](const char* what, double seconds, double bytes, double multiply_adds) {
    const double by_read = bytes / read;
    const double by_adds = multiply_adds / peak;
    std::printf("%s: %.1f ms; %.1f GB/s, %.1f G multiply-adds/s; floor %.1f ms (%s), %.2f of it\n",
                what, seconds * 1e3, bytes / seconds * 1e-9, multiply_adds / seconds * 1e-9,
                std::max(by_read, by_adds) * 1e3, by_read > by_adds ? "read" : "multiply-adds",
                seconds / std::max(by_read, by_adds));
  };
  if (options.only != "prompt") {
    attention.plan({{0, options.tokens - 1, table.data()}}, options.threads);
    int next = 0;
    const double seconds = best_of(options.repeats, [&] {
      for (int i = 0; i < kLayers; ++i) layer(next++ % kv.layers);
    });
    print("one token", seconds, cache_bytes, adds);
  }
  if (options.only != "decode") {
    // One layer stands for all.
    const double seconds = kLayers * best_of(1, [&] {
                             std::vector<BatchRow> rows;
                             for (int begin = 0; begin < options.tokens; begin += kBatchRows) {
                               rows.clear();
                               const int end = std::min(options.tokens, begin + kBatchRows);
                               for (int i = begin; i < end; ++i)
                                 rows.push_back({0, i, table.data()});
                               attention.plan(rows, options.threads);
                               layer(0);
                             }
                           });
    print("prompt", seconds, cache_bytes, adds * (options.tokens + 1) / 2);
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--plain") {
      options.plain = true;
      continue;
    }
    ++i;
    if (name == "--tokens" && std::atoi(value.c_str()) > 0) {
      options.tokens = std::atoi(value.c_str());
    } else if (name == "--threads" && std::atoi(value.c_str()) > 0) {
      options.threads = std::atoi(value.c_str());
    } else if (name == "--repeats" && std::atoi(value.c_str()) > 0) {
      options.repeats = std::atoi(value.c_str());
    } else if (name == "--layers" && std::atoi(value.c_str()) > 0) {
      options.layers = std::atoi(value.c_str());
    } else if (name == "--type" && (value == "f32" || value == "bf16" || value == "int8")) {
      options.type = value == "f32"    ? KvType::kF32
                     : value == "bf16" ? KvType::kBf16
                                       : KvType::kInt8;
    } else if (name == "--table") {
      options.table = value;
    } else if (name == "--only") {
      options.only = value;
    } else {
      std::fprintf(stderr,
                   "usage: %s [--tokens N] [--threads N] [--type f32|bf16|int8] [--table NAME]"
                   " [--plain] [--only decode|prompt] [--repeats N] [--layers N]\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace sterna::bench

int main(int argc, char** argv) { sterna::bench::run(sterna::bench::parse(argc, argv)); }

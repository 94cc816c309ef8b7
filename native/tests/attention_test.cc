// Attention of batches: whatever the number of workers, with tiles and without, every row has the
// bits of the reference kernel called for that row alone.
#include "model/attention.h"

#include <numeric>

#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr int kBlocks = 128;

struct Slice {
  int begin;  // positions [begin, end) of one sequence are rows of the batch
  int end;
};

struct Batch {
  ModelConfig config;
  KvLayout kv;
  Aligned<std::byte> memory;
  std::vector<std::vector<std::int32_t>> tables;
  std::vector<BatchRow> rows;
  std::vector<float> query;
  std::vector<float> expected[2];  // by layer

  std::size_t row_size() const { return static_cast<std::size_t>(config.heads) * config.head_dim; }
};

std::vector<float> attend_row_by_row(const Batch& batch, int layer);

// Sequences share one cache, whose blocks they use in different orders.
Batch make_batch(KvType type, int heads, const std::vector<Slice>& slices) {
  Batch batch;
  batch.config.heads = heads;
  batch.config.kv_heads = 2;
  batch.config.head_dim = 32;
  batch.kv.type = type;
  batch.kv.layers = 2;
  batch.kv.blocks = kBlocks;
  batch.kv.kv_heads = 2;
  batch.kv.head_dim = 32;
  batch.memory.resize(batch.kv.total_bytes());
  batch.kv.base = batch.memory.data();
  const std::vector<float> numbers = random_floats(kBlocks * kKvBlockTokens * 64, 3);
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 2; ++head) {
      for (int block = 0; block < kBlocks; ++block) {
        for (int t = 0; t < kKvBlockTokens; ++t) {
          const float* at = numbers.data() + (block * kKvBlockTokens + t) * 64;
          batch.kv.store(reference_kernels(), layer, head, block, t, at, at + 32);
        }
      }
    }
  }
  std::mt19937 random(5);
  for (std::size_t i = 0; i < slices.size(); ++i) {
    auto& table = batch.tables.emplace_back(kBlocks);
    std::iota(table.begin(), table.end(), 0);
    std::shuffle(table.begin(), table.end(), random);
  }
  for (std::size_t i = 0; i < slices.size(); ++i) {
    for (int p = slices[i].begin; p < slices[i].end; ++p) {
      batch.rows.push_back({0, p, batch.tables[i].data()});
    }
  }
  batch.query = random_floats(batch.rows.size() * batch.row_size(), 4);
  for (int layer = 0; layer < 2; ++layer) batch.expected[layer] = attend_row_by_row(batch, layer);
  return batch;
}

std::vector<float> attend_row_by_row(const Batch& batch, int layer) {
  std::vector<float> out(batch.query.size());
  const int group = batch.config.heads / 2;
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    for (int head = 0; head < 2; ++head) {
      const std::size_t at = i * batch.row_size() + static_cast<std::size_t>(head) * group * 32;
      AttentionArgs args;
      args.query = batch.query.data() + at;
      args.group = group;
      args.head_dim = 32;
      args.length = batch.rows[i].position + 1;
      args.scale = 1.0f / std::sqrt(32.0f);
      args.type = batch.kv.type;
      args.cache = batch.kv.head(layer, head);
      args.block_stride = batch.kv.block_stride();
      args.block_table = batch.rows[i].block_table;
      args.out = out.data() + at;
      reference_kernels().attention(args);
    }
  }
  return out;
}

// Returns whether anything was cut.
bool check_batch(const Batch& batch, const Kernels& kernels, int workers, bool tiles) {
  Attention attention(batch.config, kernels, tiles);
  attention.plan(batch.rows, workers);
  for (int layer = 0; layer < 2; ++layer) {
    std::vector<float> out(batch.query.size(), 7.0f);
    const AttentionLayer states{layer, &batch.kv, batch.query.data(), out.data()};
    // In an order that no thread would take.
    for (int worker = workers - 1; worker >= 0; --worker) {
      attention.run(worker, states, [](int) {});
    }
    if (attention.cuts()) {
      for (int worker = 0; worker < workers; ++worker) attention.join(worker, workers, states);
    }
    check_same_bits(batch.expected[layer].data(), out.data(), out.size(),
                    std::string(kernels.name) + ", " + std::to_string(workers) + " workers");
  }
  return attention.cuts();
}

TEST(every_number_of_workers_gives_the_same_bits) {
  int cut = 0;
  for (const KvType type : {KvType::kF32, KvType::kBf16, KvType::kInt8}) {
    for (const std::vector<Slice>& slices : {
             std::vector<Slice>{{1999, 2000}},               // one long row
             {{1990, 1998}, {0, 1}, {700, 701}},             // guesses ahead, and other streams
             {{1020, 1030}, {240, 300}, {3, 4}, {900, 901}}  // prompts beside streams
         }) {
      const Batch batch = make_batch(type, 8, slices);
      for (const Kernels* kernels : tables_to_test()) {
        for (const int workers : {1, 2, 3, 5, 16}) {
          cut += check_batch(batch, *kernels, workers, true) ? 1 : 0;
        }
        CHECK(!check_batch(batch, *kernels, 3, false));
      }
    }
  }
  CHECK(cut > 0);
}

TEST(every_group_can_be_cut) {
  for (const int heads : {2, 6, 10, 32}) {
    const Batch batch = make_batch(KvType::kBf16, heads, {{1500, 1501}});
    CHECK(check_batch(batch, *available_kernels().front(), 4, true));
  }
}

}  // namespace
}  // namespace sterna

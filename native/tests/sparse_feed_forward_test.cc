// A model with and without the skipping of zeros: the same bits, at every step.
#include "model/sparse_feed_forward.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels_support.h"
#include "model/transformer.h"
#include "tiny_model.h"

namespace sterna {
namespace {

using namespace test;

std::shared_ptr<const LoadedModel> tiny(const TinyShape& shape) {
  return std::dynamic_pointer_cast<const LoadedModel>(make_tiny_model(shape));
}

struct Run {
  std::vector<float> states;  // of every row
  SparsityCounts counts;
};

// Steps of the given numbers of rows, one sequence.
Run run(const std::shared_ptr<const LoadedModel>& model, const Kernels& kernels, int threads,
        bool sparsity, const std::vector<int>& steps) {
  const ModelConfig& config = model->config();
  const int length = std::accumulate(steps.begin(), steps.end(), 0);
  ThreadPool pool(threads);
  Transformer transformer(model, kernels, pool, 16, true, sparsity);
  KvLayout kv;
  kv.layers = config.layers;
  kv.blocks = (length + kKvBlockTokens - 1) / kKvBlockTokens;
  kv.kv_heads = config.kv_heads;
  kv.head_dim = config.head_dim;
  AlignedBuffer<std::byte> memory(kv.total_bytes());
  kv.base = memory.data();
  std::vector<std::int32_t> table(kv.blocks);
  std::iota(table.begin(), table.end(), 0);
  Run result;
  int position = 0;
  for (const int count : steps) {
    std::vector<BatchRow> rows;
    for (int i = 0; i < count; ++i, ++position) {
      rows.push_back({(position * 37 + 11) % config.vocab_size, position, table.data()});
    }
    transformer.forward(rows, kv);
    for (int i = 0; i < count; ++i) {
      const float* state = transformer.hidden(i);
      result.states.insert(result.states.end(), state, state + config.hidden_size);
    }
  }
  result.counts = transformer.sparsity();
  return result;
}

// Single rows, so that copies are made and used, then a few together, then single ones again.
const std::vector<int> kSteps = {1, 1, 1, 1, 1, 1, 2, 3, 1, 8, 9, 1, 5, 1};

TEST(sparsity_changes_no_bit) {
  for (const TinyShape& shape : {TinyShape{.hidden = 64, .intermediate = 96},
                                 TinyShape{.hidden = 320, .intermediate = 704, .layers = 3}}) {
    const auto model = tiny(shape);
    const Run expected = run(model, reference_kernels(), 1, false, kSteps);
    CHECK_EQ(expected.counts.rows, 0);
    for (const Kernels* kernels : available_kernels()) {
      for (const int threads : {1, 2, 3}) {
        const Run actual = run(model, *kernels, threads, true, kSteps);
        check_same_bits(expected.states.data(), actual.states.data(), expected.states.size(),
                        std::string(kernels->name) + " with " + std::to_string(threads));
        // It met zeros in both places, so something was skipped.
        CHECK(actual.counts.rows > 0);
        CHECK(actual.counts.active_rows < actual.counts.rows);
        CHECK(actual.counts.active_columns < actual.counts.columns);
      }
    }
  }
}

TEST(sparsity_leaves_other_activations_alone) {
  TinyShape shape;
  shape.bitnet = false;
  const auto model = tiny(shape);
  const Run expected = run(model, reference_kernels(), 1, false, kSteps);
  const Run actual = run(model, reference_kernels(), 1, true, kSteps);
  check_same_bits(expected.states.data(), actual.states.data(), expected.states.size(), "SiLU");
  CHECK_EQ(actual.counts.rows, 0);
}

// The products of a layer by themselves, with gates of any density.
struct Products {
  Products()
      : model(tiny({.hidden = 320, .intermediate = 704})),
        kernels(*available_kernels().front()),
        sparse(*model, kernels, 1, true) {
    CHECK(!sparse.start_step(2));
    for (int layer = 0; layer < model->layer_count(); ++layer) {
      CHECK(sparse.start_step(1));
      sparse.copy_layer(Team());
      sparse.finish_step();
    }
    CHECK(!sparse.start_step(1));
  }

  std::shared_ptr<const LoadedModel> model;
  const Kernels& kernels;
  SparseFeedForward sparse;
};

TEST(sparsity_up_of_every_density) {
  Products p;
  const TernaryMatrix& w = p.model->layer(1).up;
  const auto size = static_cast<std::size_t>(w.rows);
  for (const int m : {1, 2, 5, 8}) {
    const CodeRows x =
        code_rows(m, w.cols, [](int row, int col) { return (col * 7 + row) % 255 - 127; });
    std::vector<float> dense(m * size);
    p.kernels.ternary_matmul(w, x.rows, 0, w.row_tiles(), dense.data(), size);
    for (const double density : {0.0, 0.05, 0.3, 0.5, 0.9, 1.0}) {
      std::mt19937 generator(static_cast<unsigned>(100 * density) + m);
      std::vector<float> gate(m * size, -1.0f);
      for (std::size_t row = 0; row < size; ++row) {  // the same rows are active for all
        if ((generator() % 1000) >= density * 1000) continue;
        gate[(row % m) * size + row] = 0.5f;
      }
      std::vector<float> up(m * size, 7.0f);
      const bool used =
          p.sparse.multiply_up(1, 0, x.rows, {0, w.row_tiles()}, gate.data(), up.data());
      CHECK_EQ(used, density <= 0.5);
      for (std::size_t row = 0; used && row < size; ++row) {
        const bool active = gate[(row % m) * size + row] > 0.0f;
        for (int i = 0; i < m; ++i) {
          CHECK(same_bits(up[i * size + row], active ? dense[i * size + row] : 0.0f));
        }
      }
    }
  }
}

TEST(sparsity_does_not_skip_what_could_be_infinite_or_nan) {
  Products p;
  const TernaryMatrix& w = p.model->layer(0).up;
  const auto size = static_cast<std::size_t>(w.rows);
  const std::vector<float> gate(size, -1.0f);
  std::vector<float> up(size, 7.0f);
  CodeRows x = code_rows(1, w.cols, [](int, int col) { return col % 100; });
  for (const float step :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::max()}) {
    x.steps[0] = step;
    CHECK(!p.sparse.multiply_up(0, 0, x.rows, {0, w.row_tiles()}, gate.data(), up.data()));
  }
  x.steps[0] = 1.0f;
  CHECK(p.sparse.multiply_up(0, 0, x.rows, {0, w.row_tiles()}, gate.data(), up.data()));
  // A gate that is NaN counts as active.
  const std::vector<float> unknown(size, std::numeric_limits<float>::quiet_NaN());
  CHECK(!p.sparse.multiply_up(0, 0, x.rows, {0, w.row_tiles()}, unknown.data(), up.data()));
}

TEST(sparsity_down_of_every_density) {
  Products p;
  const TernaryMatrix& w = p.model->layer(1).down;
  const auto size = static_cast<std::size_t>(w.rows);
  for (const int m : {1, 2, 5, 8}) {
    for (const double density : {0.0, 0.05, 0.3, 0.5, 0.9, 1.0}) {
      std::mt19937 generator(static_cast<unsigned>(100 * density) + m);
      std::vector<bool> active(w.cols);
      for (int col = 0; col < w.cols; ++col) active[col] = (generator() % 1000) < density * 1000;
      const CodeRows x = code_rows(
          m, w.cols, [&](int row, int col) { return active[col] ? (col * 5 + row) % 127 + 1 : 0; });
      std::vector<float> expected(m * size);
      p.kernels.ternary_matmul(w, x.rows, 0, w.row_tiles(), expected.data(), size);
      std::vector<float> actual(m * size, 7.0f);
      const bool used = p.sparse.multiply_down(1, Team(), x.rows, actual.data());
      CHECK_EQ(used, density <= 0.5);
      if (used) check_same_bits(expected.data(), actual.data(), expected.size(), "down");
    }
  }
}

}  // namespace
}  // namespace sterna

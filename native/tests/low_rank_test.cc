// What adapters add to a model's outputs: against plain sums, and the same bits in any company.
#include "model/low_rank.h"

#include <array>
#include <map>
#include <numeric>

#include "adapter_support.h"
#include "base/aligned_buffer.h"
#include "kernels_support.h"
#include "model/transformer.h"
#include "tiny_model.h"

namespace sterna::test {
namespace {

constexpr std::array kPrecisions = {AdapterPrecision::kF32, AdapterPrecision::kBf16,
                                    AdapterPrecision::kInt8, AdapterPrecision::kQ8,
                                    AdapterPrecision::kQ4};

struct Loaded {
  explicit Loaded(const TinyShape& shape = {})
      : model(std::dynamic_pointer_cast<const LoadedModel>(make_tiny_model(shape))) {}

  std::shared_ptr<const LoadedAdapter> adapter(const AdapterShape& shape,
                                               AdapterPrecision precision) const {
    const TempDir dir;
    write_adapter(dir.path(), shape, model->config());
    return std::dynamic_pointer_cast<const LoadedAdapter>(
        Adapter::open(dir.path(), *model, precision));
  }

  std::shared_ptr<const LoadedModel> model;
};

// Runs rows of several sequences, each with an adapter or none, in one batch.
std::vector<std::vector<float>> hidden_states(const Loaded& loaded, const Kernels& kernels,
                                              int threads,
                                              const std::vector<const LoadedAdapter*>& adapters,
                                              int length, bool sparsity = false) {
  const ModelConfig& config = loaded.model->config();
  const int sequences = static_cast<int>(adapters.size());
  ThreadPool pool(threads);
  Transformer transformer(loaded.model, kernels, pool, sequences * length, true, sparsity);
  KvLayout kv;
  kv.type = KvType::kF32;
  kv.layers = config.layers;
  kv.blocks = sequences;
  kv.kv_heads = config.kv_heads;
  kv.head_dim = config.head_dim;
  AlignedBuffer<std::byte> memory(kv.total_bytes());
  kv.base = memory.data();
  std::vector<std::int32_t> tables(sequences);
  std::iota(tables.begin(), tables.end(), 0);
  std::vector<BatchRow> rows;
  for (int s = 0; s < sequences; ++s) {
    for (int i = 0; i < length; ++i) {
      rows.push_back({(7 * i + 3) % config.vocab_size, i, &tables[s], adapters[s]});
    }
  }
  if (sparsity) {  // copies of weights are made by steps of one row
    std::vector<BatchRow> first = {rows[0]};
    for (int i = 0; i < config.layers; ++i) transformer.forward(first, kv);
  }
  transformer.forward(rows, kv);
  std::vector<std::vector<float>> states;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* state = transformer.hidden(static_cast<int>(i));
    states.emplace_back(state, state + config.hidden_size);
  }
  return states;
}

void check_equal(const std::vector<float>& expected, const std::vector<float>& actual,
                 const std::string& what) {
  check_same_bits(expected.data(), actual.data(), expected.size(), what);
}

TEST(products_against_doubles) {
  const Loaded loaded({.hidden = 80, .intermediate = 72, .heads = 5, .kv_heads = 5});
  const AdapterShape shape{.rank = 5, .alpha = 10.0};
  const auto tensors = adapter_tensors(shape, loaded.model->config());
  const auto values = [&](const std::string& name) {
    for (const RawTensor& tensor : tensors) {
      if (tensor.name != name) continue;
      std::vector<float> result(tensor.bytes.size() / 4);
      std::memcpy(result.data(), tensor.bytes.data(), tensor.bytes.size());
      return result;
    }
    throw std::runtime_error("no such tensor");
  };
  for (const auto& [precision, tolerance] : {std::pair{AdapterPrecision::kF32, 1e-5},
                                             {AdapterPrecision::kBf16, 0.02},
                                             {AdapterPrecision::kInt8, 0.04},
                                             {AdapterPrecision::kQ8, 0.04},
                                             {AdapterPrecision::kQ4, 0.5}}) {
    const auto adapter = loaded.adapter(shape, precision);
    LowRank low_rank(reference_kernels());
    low_rank.plan({{0, 0, nullptr, nullptr}, {0, 0, nullptr, adapter.get()}});
    for (const LinearShape& linear : linear_shapes(loaded.model->config())) {
      const auto projection =
          *std::find_if(kProjections.begin(), kProjections.end(),
                        [&](Projection each) { return module_name(each) == linear.module; });
      const auto x = random_floats(2 * linear.in, 5);
      std::vector<float> y(2 * linear.out, 0.25f);
      low_rank.reduce(Team(), 1, stage_of(projection), x.data(), linear.in);
      low_rank.expand(Team(), 1, projection, linear.out, y.data(), linear.out);
      const auto a = values(lora_name(1, linear.module, "A"));
      const auto b = values(lora_name(1, linear.module, "B"));
      double worst = 0.0;
      double size = 0.0;
      for (int o = 0; o < linear.out; ++o) {
        CHECK_EQ(y[o], 0.25f);  // the row without an adapter
        double sum = 0.0;
        for (int j = 0; j < 5; ++j) {
          double h = 0.0;
          for (int i = 0; i < linear.in; ++i) h += double{a[j * linear.in + i]} * x[linear.in + i];
          sum += h * b[o * 5 + j];
        }
        worst = std::max(worst, std::fabs(y[linear.out + o] - 0.25 - 2.0 * sum));
        size = std::max(size, std::fabs(2.0 * sum));
      }
      CHECK(worst <= tolerance * size);
      CHECK(size > 0.1);
    }
  }
}

TEST(small_weights_keep_their_bits_in_blocks) {
  const Loaded loaded;
  const auto error = [&](float size) {
    const AdapterShape shape{.size = size, .targets = {"o_proj"}};
    const auto exact = loaded.adapter(shape, AdapterPrecision::kF32);
    const auto coded = loaded.adapter(shape, AdapterPrecision::kQ8);
    const int hidden = loaded.model->config().hidden_size;
    const auto x = random_floats(hidden, 3);
    std::vector<std::vector<float>> outputs;
    for (const auto& adapter : {exact, coded}) {
      LowRank low_rank(reference_kernels());
      low_rank.plan({{0, 0, nullptr, adapter.get()}});
      std::vector<float> y(hidden);
      low_rank.reduce(Team(), 0, Stage::kOutput, x.data(), hidden);
      low_rank.expand(Team(), 0, Projection::kO, hidden, y.data(), hidden);
      outputs.push_back(y);
    }
    double worst = 0.0;
    double largest = 0.0;
    for (int i = 0; i < hidden; ++i) {
      worst = std::max<double>(worst, std::fabs(outputs[0][i] - outputs[1][i]));
      largest = std::max<double>(largest, std::fabs(outputs[0][i]));
    }
    return worst / largest;
  };
  CHECK(error(1.0f) < 0.02);
  CHECK(error(1e-7f) < 0.02);
}

TEST(a_row_has_the_same_bits_in_any_company) {
  for (const bool bitnet : {true, false}) {
    const Loaded loaded(
        {.hidden = 96, .intermediate = 112, .heads = 6, .kv_heads = 3, .bitnet = bitnet});
    for (const AdapterPrecision precision : kPrecisions) {
      const auto one = loaded.adapter({.rank = 3, .size = 0.1f}, precision);
      const auto two = loaded.adapter(
          {.rank = 18, .size = 0.1f, .seed = 2, .targets = {"q_proj", "up_proj", "down_proj"}},
          AdapterPrecision::kF32);
      const LoadedAdapter* none = nullptr;
      constexpr int kLength = 5;
      std::map<const LoadedAdapter*, std::vector<std::vector<float>>> alone;
      for (const LoadedAdapter* adapter : {none, one.get(), two.get()}) {
        alone[adapter] = hidden_states(loaded, reference_kernels(), 1, {adapter}, kLength);
      }
      CHECK(alone[none].back() != alone[one.get()].back());
      CHECK(alone[none].back() != alone[two.get()].back());
      const std::vector<const LoadedAdapter*> mixed = {two.get(), none,      one.get(), one.get(),
                                                       none,      two.get(), one.get()};
      for (const Kernels* kernels : available_kernels()) {
        for (const int threads : {1, 3}) {
          for (const bool sparsity : {false, true}) {
            const auto states = hidden_states(loaded, *kernels, threads, mixed, kLength, sparsity);
            for (std::size_t i = 0; i < states.size(); ++i) {
              check_equal(alone[mixed[i / kLength]][i % kLength], states[i],
                          std::string(kernels->name) + " threads " + std::to_string(threads) +
                              " row " + std::to_string(i));
            }
          }
        }
      }
    }
  }
}

// One row takes other ways through the layers than several do.
TEST(one_row_alone_equals_one_among_others) {
  const Loaded loaded;
  const auto adapter = loaded.adapter({.rank = 8, .size = 0.1f}, AdapterPrecision::kBf16);
  const auto expected = hidden_states(loaded, reference_kernels(), 1, {adapter.get(), nullptr}, 1);
  for (const Kernels* kernels : available_kernels()) {
    for (const int threads : {1, 2, 3}) {
      for (const bool sparsity : {false, true}) {
        check_equal(expected[0],
                    hidden_states(loaded, *kernels, threads, {adapter.get()}, 1, sparsity)[0],
                    kernels->name);
      }
    }
  }
}

TEST(huge_adapters_do_not_upset_sparsity) {
  const Loaded loaded;
  const auto adapter = loaded.adapter(
      {.rank = 4, .alpha = 3e6, .size = 1e17f, .targets = {"up_proj"}}, AdapterPrecision::kF32);
  for (const int threads : {1, 2}) {
    const auto dense = hidden_states(loaded, reference_kernels(), threads, {adapter.get()}, 3);
    const auto sparse =
        hidden_states(loaded, reference_kernels(), threads, {adapter.get()}, 3, true);
    for (std::size_t i = 0; i < dense.size(); ++i) check_equal(dense[i], sparse[i], "huge");
  }
}

}  // namespace
}  // namespace sterna::test

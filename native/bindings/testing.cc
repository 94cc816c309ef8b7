#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <iterator>
#include <numeric>
#include <string>

#include "base/cpu_budget.h"
#include "bindings.h"
#include "model/adapter.h"
#include "model/transformer.h"
#include "sterna/error.h"

namespace py = pybind11;

namespace sterna {
namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

std::shared_ptr<const LoadedModel> loaded(const std::shared_ptr<Model>& model) {
  return std::dynamic_pointer_cast<const LoadedModel>(model);
}

void require_matrix(const FloatArray& x, int columns) {
  if (x.ndim() != 2 || x.shape(1) != columns || x.shape(0) < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "x must be a matrix of " + std::to_string(columns) + " columns", "x");
  }
}

// A model with a cache of its own for one sequence of `length` tokens.
struct Bench {
  Bench(const std::shared_ptr<Model>& model, int length, int threads, const std::string& kv_type,
        bool sparsity = false)
      : weights(loaded(model)),
        pool(threads == 0 ? cpu_budget() : threads),
        transformer(weights, select_kernels(), pool, length, true, sparsity) {
    const ModelConfig& config = weights->config();
    kv.type = kv_type_named(kv_type);
    kv.layers = config.layers;
    kv.blocks = (length + kKvBlockTokens - 1) / kKvBlockTokens;
    kv.kv_heads = config.kv_heads;
    kv.head_dim = config.head_dim;
    memory = AlignedBuffer<std::byte>(kv.total_bytes());
    kv.base = memory.data();
    table.resize(kv.blocks);
    std::iota(table.begin(), table.end(), 0);
    for (int i = 0; i < length; ++i) rows.push_back({0, i, table.data()});
  }

  std::shared_ptr<const LoadedModel> weights;
  ThreadPool pool;
  Transformer transformer;
  AlignedBuffer<std::byte> memory;
  KvLayout kv;
  std::vector<std::int32_t> table;
  std::vector<BatchRow> rows;
};

const Linear& find_linear(const LoadedModel& model, const std::string& name) {
  for (int i = 0; i < model.layer_count(); ++i) {
    const LayerWeights& layer = model.layer(i);
    const std::string prefix = "layers." + std::to_string(i) + ".";
    const std::pair<const char*, const Linear*> linears[] = {
        {"q", &layer.q},       {"k", &layer.k},   {"v", &layer.v},      {"o", &layer.o},
        {"gate", &layer.gate}, {"up", &layer.up}, {"down", &layer.down}};
    for (const auto& [suffix, matrix] : linears) {
      if (prefix + suffix == name) return *matrix;
    }
  }
  throw Error(ErrorCode::kInvalidArgument, "no linear is called '" + name + "'", "name");
}

py::tuple linear(const std::shared_ptr<Model>& model, const std::string& name, FloatArray x) {
  Bench bench(model, static_cast<int>(x.shape(0)), 1, "f32");
  const Linear& weight = find_linear(*bench.weights, name);
  require_matrix(x, weight.cols);
  const py::ssize_t rows = x.shape(0);
  py::array_t<std::int8_t> codes({rows, static_cast<py::ssize_t>(weight.cols)});
  const auto groups = static_cast<py::ssize_t>(weight.groups());
  py::array_t<float> steps(groups == 1 ? std::vector<py::ssize_t>{rows}
                                       : std::vector<py::ssize_t>{rows, groups});
  py::array_t<float> y({rows, static_cast<py::ssize_t>(weight.rows)});
  bench.transformer.linear(weight, x.data(), static_cast<int>(rows), y.mutable_data(),
                           codes.mutable_data(), steps.mutable_data());
  return py::make_tuple(codes, steps, y);
}

const LoadedAdapter* loaded(const std::shared_ptr<Adapter>& adapter) {
  return dynamic_cast<const LoadedAdapter*>(adapter.get());
}

py::array_t<float> layer(const std::shared_ptr<Model>& model, int index, FloatArray x,
                         const std::shared_ptr<Adapter>& adapter) {
  Bench bench(model, static_cast<int>(x.shape(0)), 0, "f32");
  require_matrix(x, bench.weights->config().hidden_size);
  if (index < 0 || index >= bench.weights->layer_count()) {
    throw Error(ErrorCode::kInvalidArgument, "there is no such layer", "index");
  }
  py::array_t<float> states({x.shape(0), x.shape(1)});
  std::copy_n(x.data(), x.size(), states.mutable_data());
  for (BatchRow& row : bench.rows) row.adapter = loaded(adapter);
  bench.transformer.layer(index, bench.rows, bench.kv, states.mutable_data());
  return states;
}

py::array_t<float> logits(const std::shared_ptr<Model>& model, const std::vector<TokenId>& tokens,
                          int threads, const std::string& kv_type,
                          const std::shared_ptr<Adapter>& adapter) {
  Bench bench(model, static_cast<int>(tokens.size()), threads, kv_type);
  const ModelConfig& config = bench.weights->config();
  std::vector<const float*> states;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= config.vocab_size) {
      throw Error(ErrorCode::kInvalidArgument, "a token id is outside the vocabulary", "tokens");
    }
    bench.rows[i].token = tokens[i];
    bench.rows[i].adapter = loaded(adapter);
    bench.rows[i].long_text = needs_long_factors(config, std::ssize(tokens));
  }
  py::array_t<float> out(
      {static_cast<py::ssize_t>(tokens.size()), static_cast<py::ssize_t>(config.vocab_size)});
  bench.transformer.forward(bench.rows, bench.kv);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    states.push_back(bench.transformer.hidden(static_cast<int>(i)));
  }
  bench.transformer.head().logits(states, out.mutable_data());
  return out;
}

// Token by token, as in decoding; the first steps copy weights and count nothing.
py::dict sparsity(const std::shared_ptr<Model>& model, const std::vector<TokenId>& tokens) {
  Bench bench(model, static_cast<int>(tokens.size()), 1, "f32", true);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    bench.rows[i].token = tokens[i];
    bench.transformer.forward({bench.rows[i]}, bench.kv);
  }
  const SparsityCounts counts = bench.transformer.sparsity();
  py::dict result;
  result["rows"] = counts.rows;
  result["active_rows"] = counts.active_rows;
  result["columns"] = counts.columns;
  result["active_columns"] = counts.active_columns;
  return result;
}

}  // namespace

void bind_testing(py::module_& module) {
  py::module_ testing = module.def_submodule("testing", "Single steps of the model, for tests.");
  testing.def("linear", &linear, py::arg("model"), py::arg("name"), py::arg("x"),
              "(codes int8[m, in], steps float32[m] or [m, groups], y float32[m, out]) of x "
              "float32[m, in]; "
              "name is e.g. 'layers.0.q'.");
  testing.def("layer", &layer, py::arg("model"), py::arg("index"), py::arg("x"),
              py::arg("adapter") = nullptr,
              "One layer over states x float32[t, hidden] at positions 0..t-1, fresh cache.");
  testing.def("logits", &logits, py::arg("model"), py::arg("tokens"), py::arg("threads") = 0,
              py::arg("kv_cache_dtype") = "f32", py::arg("adapter") = nullptr,
              "float32[t, vocab] of a whole sequence in one batch.");
  testing.def("sparsity", &sparsity, py::arg("model"), py::arg("tokens"),
              "Rows of up and columns of down in all layers and steps, and how many were needed.");
}

}  // namespace sterna

// Adapters for tests, written as PEFT writes them but without the code under test.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "format_support.h"
#include "sterna/model.h"

namespace sterna::test {

struct AdapterShape {
  int rank = 4;
  double alpha = 8.0;
  float size = 0.3f;  // standard deviation of the weights
  unsigned seed = 1;
  std::vector<std::string> targets = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                      "gate_proj", "up_proj", "down_proj"};
  nlohmann::json extra = nlohmann::json::object();  // further keys of the configuration
};

struct LinearShape {
  std::string module;  // "self_attn.q_proj"
  int out;
  int in;
};

inline std::vector<LinearShape> linear_shapes(const ModelConfig& c) {
  const int query = c.heads * c.head_dim;
  const int kv = c.kv_heads * c.head_dim;
  return {{"self_attn.q_proj", query, c.hidden_size},
          {"self_attn.k_proj", kv, c.hidden_size},
          {"self_attn.v_proj", kv, c.hidden_size},
          {"self_attn.o_proj", c.hidden_size, query},
          {"mlp.gate_proj", c.intermediate_size, c.hidden_size},
          {"mlp.up_proj", c.intermediate_size, c.hidden_size},
          {"mlp.down_proj", c.hidden_size, c.intermediate_size}};
}

inline std::string lora_name(int layer, const std::string& module, const char* part) {
  return "base_model.model.model.layers." + std::to_string(layer) + "." + module + ".lora_" + part +
         ".weight";
}

inline nlohmann::json adapter_config(const AdapterShape& shape) {
  nlohmann::json config = {{"peft_type", "LORA"},
                           {"r", shape.rank},
                           {"lora_alpha", shape.alpha},
                           {"target_modules", shape.targets},
                           {"base_model_name_or_path", "someone/base"}};
  config.update(shape.extra);
  return config;
}

inline std::vector<RawTensor> adapter_tensors(const AdapterShape& shape, const ModelConfig& model) {
  std::mt19937 random(shape.seed);
  std::normal_distribution<float> gaussian(0.0f, shape.size);
  const auto values = [&](int count) {
    std::vector<float> result(count);
    for (float& value : result) value = gaussian(random);
    return result;
  };
  std::vector<RawTensor> tensors;
  for (int layer = 0; layer < model.layers; ++layer) {
    for (const LinearShape& linear : linear_shapes(model)) {
      const std::string last = linear.module.substr(linear.module.find('.') + 1);
      if (std::find(shape.targets.begin(), shape.targets.end(), last) == shape.targets.end()) {
        continue;
      }
      tensors.push_back({lora_name(layer, linear.module, "A"),
                         "F32",
                         {shape.rank, linear.in},
                         bytes_of(values(shape.rank * linear.in))});
      tensors.push_back({lora_name(layer, linear.module, "B"),
                         "F32",
                         {linear.out, shape.rank},
                         bytes_of(values(linear.out * shape.rank))});
    }
  }
  return tensors;
}

inline void write_adapter(const std::string& directory, const nlohmann::json& config,
                          const std::vector<RawTensor>& tensors) {
  std::filesystem::create_directories(directory);
  write_file(directory + "/adapter_config.json", config.dump());
  write_file(directory + "/adapter_model.safetensors", safetensors_bytes(tensors));
}

inline void write_adapter(const std::string& directory, const AdapterShape& shape,
                          const ModelConfig& model) {
  write_adapter(directory, adapter_config(shape), adapter_tensors(shape, model));
}

}  // namespace sterna::test

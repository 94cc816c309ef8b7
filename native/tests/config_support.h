// Configurations as published, for tests to bend.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "check.h"
#include "model/config.h"
#include "sterna/error.h"

namespace sterna::test {

using nlohmann::json;

// As published with BitNet-b1.58-2B-4T.
inline json bitnet_config() {
  return json::parse(R"({
    "architectures": ["BitNetForCausalLM"], "model_type": "bitnet",
    "auto_map": {"AutoConfig": "configuration_bitnet.BitNetConfig"},
    "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "relu2", "hidden_size": 2560,
    "initializer_range": 0.02, "intermediate_size": 6912, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-05, "num_attention_heads": 20, "num_hidden_layers": 30,
    "num_key_value_heads": 5, "rope_theta": 500000.0, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 128256,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                            "quantization_mode": "offline"}})");
}

// As published with Llama3-8B-1.58, and with what newer versions of the library add.
inline json llama_config() {
  return json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": [128001, 128009],
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "is_bitnet_config": true, "max_position_embeddings": 8192, "mlp_bias": false,
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"},
    "rope_interleaved": false, "tie_word_embeddings": false, "dtype": "bfloat16",
    "transformers_version": "5.23.0", "use_cache": true, "vocab_size": 128256,
    "id2label": {"0": "LABEL_0"}, "sliding_window": null,
    "quantization_config": {"modules_to_not_convert": null, "quant_method": "bitnet"}})");
}

inline CheckpointConfig parse(const json& config) {
  return parse_config(config.dump(), "config.json");
}

inline void check_refused(const json& config, ErrorCode code, const std::string& key,
                          const std::string& needle) {
  try {
    parse(config);
    report_failure(__FILE__, __LINE__, "accepted: " + key);
  } catch (const Error& error) {
    const std::string what = error.what();
    CHECK(error.code() == code);
    CHECK_EQ(error.field(), key);
    CHECK(what.find("config.json") != std::string::npos);
    if (what.find(needle) == std::string::npos) CHECK_EQ(what, needle);
  }
}

// `config` with one key changed is unsupported, or invalid, because of that key.
inline void unsupported(json config, const std::string& key, const json& value,
                        const std::string& needle = "") {
  config[key] = value;
  check_refused(config, ErrorCode::kUnsupportedModel, key, needle);
}

inline void invalid(json config, const std::string& key, const json& value,
                    const std::string& needle = "") {
  config[key] = value;
  check_refused(config, ErrorCode::kCheckpointInvalid, key, needle);
}

inline json with(json config, const std::string& key, const json& value) {
  config[key] = value;
  return config;
}

// As published with Qwen3-8B, with the quantization of a BitNet.
inline json qwen3_config() {
  return json::parse(R"({
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 2560, "initializer_range": 0.02,
    "intermediate_size": 9728, "max_position_embeddings": 40960, "max_window_layers": 36,
    "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
    "use_sliding_window": false, "vocab_size": 151936,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                            "quantization_mode": "online"}})");
}

}  // namespace sterna::test

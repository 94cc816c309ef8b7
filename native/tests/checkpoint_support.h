// Small whole checkpoints for tests: built by hand, so that a test can bend any part of them.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "format_support.h"

namespace sterna::test {

enum class Family { kBitnetMultiply, kBitnetOnline, kLlamaDivide, kQwen3Multiply };

struct TestMatrix {
  int rows = 0;
  int cols = 0;
  std::vector<std::int8_t> trits;  // [rows][cols], for the packed families
  std::vector<float> latent;       // [rows][cols], for the online one
  float weight_scale = 0.0f;       // as the checkpoint stores it
};

// Sizes that are no multiples of 16, so that every tile has an edge somewhere.
struct TestCheckpoint {
  static constexpr int kVocab = 11;
  static constexpr int kHidden = 24;
  static constexpr int kInner = 36;
  static constexpr int kHeads = 2;
  static constexpr int kKvHeads = 1;
  static constexpr int kHeadDim = 12;
  static constexpr int kLayers = 2;

  nlohmann::json config;
  std::vector<RawTensor> tensors;
  std::map<std::string, TestMatrix> matrices;  // by bundle name, "layers.0.q"
  std::vector<float> embedding;                // exact bf16 values

  RawTensor& tensor(const std::string& name) {
    for (RawTensor& candidate : tensors) {
      if (candidate.name == name) return candidate;
    }
    throw std::runtime_error("no tensor " + name);
  }
  void erase(const std::string& name) {
    std::erase_if(tensors, [&](const RawTensor& tensor) { return tensor.name == name; });
  }
  void write(const TempDir& dir) const {
    write_file(dir / "config.json", config.dump());
    write_file(dir / "model.safetensors", safetensors_bytes(tensors, {{"format", "pt"}}));
  }
};

// The layout of the reference library, written independently of the reader: bits 2i of byte
// [r, c] hold row i * (rows / 4) + r.
inline std::string hf_packed(const TestMatrix& matrix) {
  const int quarter = matrix.rows / 4;
  std::string bytes(static_cast<std::size_t>(quarter * matrix.cols), '\0');
  for (int row = 0; row < matrix.rows; ++row) {
    for (int col = 0; col < matrix.cols; ++col) {
      const int code = matrix.trits[static_cast<std::size_t>(row * matrix.cols + col)] + 1;
      bytes[static_cast<std::size_t>(row % quarter * matrix.cols + col)] |=
          static_cast<char>(code << (2 * (row / quarter)));
    }
  }
  return bytes;
}

inline TestCheckpoint make_checkpoint(Family family, unsigned seed = 1) {
  using Check = TestCheckpoint;
  std::mt19937 random(seed);
  const bool qwen3 = family == Family::kQwen3Multiply;
  const bool bitnet = family != Family::kLlamaDivide && !qwen3;
  TestCheckpoint made;
  made.config = {
      {"architectures", nlohmann::json::array({bitnet ? "BitNetForCausalLM" : "LlamaForCausalLM"})},
      {"model_type", bitnet ? "bitnet" : "llama"},
      {"vocab_size", Check::kVocab},
      {"hidden_size", Check::kHidden},
      {"intermediate_size", Check::kInner},
      {"num_hidden_layers", Check::kLayers},
      {"num_attention_heads", Check::kHeads},
      {"num_key_value_heads", Check::kKvHeads},
      {"max_position_embeddings", 64},
      {"rms_norm_eps", 1e-5},
      {"rope_theta", 10000.0},
      {"hidden_act", bitnet ? "relu2" : "silu"},
      {"tie_word_embeddings", bitnet},
      {"quantization_config", {{"quant_method", "bitnet"}}},
  };
  if (qwen3) {
    made.config["architectures"] = {"Qwen3ForCausalLM"};
    made.config["model_type"] = "qwen3";
    made.config["head_dim"] = Check::kHeadDim;
    made.config["tie_word_embeddings"] = true;
  }
  if (bitnet || qwen3) {
    made.config["quantization_config"]["linear_class"] = "autobitlinear";
    made.config["quantization_config"]["quantization_mode"] =
        family == Family::kBitnetOnline ? "online" : "offline";
  }

  const auto add_bf16 = [&](const std::string& name, std::vector<std::int64_t> shape,
                            const std::vector<float>& values) {
    made.tensors.push_back({name, "BF16", std::move(shape), bf16_bytes(values)});
  };
  std::uniform_int_distribution<int> small(-127, 127);
  for (int i = 0; i < Check::kVocab * Check::kHidden; ++i) {
    made.embedding.push_back(static_cast<float>(small(random)) / 64.0f);
  }
  add_bf16("model.embed_tokens.weight", {Check::kVocab, Check::kHidden}, made.embedding);
  if (family == Family::kLlamaDivide)
    add_bf16("lm_head.weight", {Check::kVocab, Check::kHidden}, made.embedding);
  add_bf16("model.norm.weight", {Check::kHidden}, std::vector<float>(Check::kHidden, 1.25f));

  const int query = Check::kHeads * Check::kHeadDim;
  const int key = Check::kKvHeads * Check::kHeadDim;
  struct Linear {
    const char* bundle;
    const char* module;
    int rows, cols;
  };
  const Linear linears[] = {
      {"q", "self_attn.q_proj", query, Check::kHidden},
      {"k", "self_attn.k_proj", key, Check::kHidden},
      {"v", "self_attn.v_proj", key, Check::kHidden},
      {"o", "self_attn.o_proj", Check::kHidden, query},
      {"gate", "mlp.gate_proj", Check::kInner, Check::kHidden},
      {"up", "mlp.up_proj", Check::kInner, Check::kHidden},
      {"down", "mlp.down_proj", Check::kHidden, Check::kInner},
  };
  struct Norm {
    const char* module;
    int size;
    bool sub;
  };
  const Norm norms[] = {
      {"input_layernorm", Check::kHidden, false},
      {"post_attention_layernorm", Check::kHidden, false},
      {"self_attn.attn_sub_norm", query, true},
      {"mlp.ffn_sub_norm", Check::kInner, true},
  };
  std::uniform_int_distribution<int> trit(-1, 1);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  for (int layer = 0; layer < Check::kLayers; ++layer) {
    const std::string index = std::to_string(layer);
    const std::string prefix = "model.layers." + index + ".";
    for (const Norm& norm : norms) {
      if (norm.sub && !bitnet) continue;
      add_bf16(prefix + norm.module + ".weight", {norm.size},
               std::vector<float>(static_cast<std::size_t>(norm.size),
                                  0.5f + static_cast<float>(layer)));
    }
    for (const char* name : {"q_norm", "k_norm"}) {
      if (qwen3) {
        add_bf16(prefix + "self_attn." + name + ".weight", {Check::kHeadDim},
                 std::vector<float>(Check::kHeadDim, 0.75f + static_cast<float>(layer)));
      }
    }
    for (const Linear& linear : linears) {
      TestMatrix matrix{linear.rows, linear.cols, {}, {}, 0.0f};
      const std::string weight = prefix + linear.module + ".weight";
      for (int i = 0; i < linear.rows * linear.cols; ++i) {
        matrix.trits.push_back(static_cast<std::int8_t>(trit(random)));
        matrix.latent.push_back(normal(random));
      }
      if (family == Family::kBitnetOnline) {
        made.tensors.push_back(
            {weight, "F32", {linear.rows, linear.cols}, bytes_of(matrix.latent)});
      } else {
        // A value that bf16 holds exactly: 8 bits.
        matrix.weight_scale = static_cast<float>(129 + small(random) / 2) / 64.0f;
        made.tensors.push_back({weight, "U8", {linear.rows / 4, linear.cols}, hf_packed(matrix)});
        add_bf16(prefix + linear.module + ".weight_scale", {1}, {matrix.weight_scale});
      }
      made.matrices["layers." + index + "." + linear.bundle] = std::move(matrix);
    }
  }
  return made;
}

// An RMSNorm of its own for every linear, called "<linear>.<name>.weight".
inline void add_projection_norms(TestCheckpoint& checkpoint, const std::string& name) {
  std::vector<RawTensor> norms;
  float value = 1.0f;
  for (const RawTensor& tensor : checkpoint.tensors) {
    const std::size_t end = tensor.name.rfind("_proj.weight");
    if (end == std::string::npos || tensor.name.ends_with("_scale")) continue;
    const std::int64_t size = tensor.shape[1];
    const std::string norm = tensor.name.substr(0, end) + "_proj." + name + ".weight";
    norms.push_back({norm, "BF16", {size}, bf16_bytes(std::vector<float>(size, value))});
    value += 0.25f;
  }
  for (RawTensor& norm : norms) checkpoint.tensors.push_back(std::move(norm));
}

}  // namespace sterna::test

#include "format/bundle_layout.h"

#include "base/quoted.h"
#include "sterna/error.h"

namespace sterna {

namespace {

struct ModuleName {
  std::string_view bundle;
  std::string_view checkpoint;
};

constexpr ModuleName kTopModules[] = {
    {"embed_tokens", "model.embed_tokens"},
    {"norm", "model.norm"},
    {"lm_head", "lm_head"},
};

constexpr ModuleName kLayerModules[] = {
    {"input_norm", "input_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"attn_sub_norm", "self_attn.attn_sub_norm"},
    {"ffn_sub_norm", "mlp.ffn_sub_norm"},
    {"q", "self_attn.q_proj"},
    {"k", "self_attn.k_proj"},
    {"v", "self_attn.v_proj"},
    {"o", "self_attn.o_proj"},
    {"gate", "mlp.gate_proj"},
    {"up", "mlp.up_proj"},
    {"down", "mlp.down_proj"},
};

}  // namespace

BundleLayout bundle_layout(const ModelConfig& config) {
  const int hidden = config.hidden_size;
  const int inner = config.intermediate_size;
  const int queries = config.heads * config.head_dim;
  const int keys = config.kv_heads * config.head_dim;
  BundleLayout layout;
  layout.dense.push_back({"embed_tokens", config.vocab_size, hidden});
  if (!config.tied_embeddings) layout.dense.push_back({"lm_head", config.vocab_size, hidden});
  layout.norms.push_back({"norm", hidden});
  for (int i = 0; i < config.layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    layout.norms.push_back({layer + "input_norm", hidden});
    layout.norms.push_back({layer + "post_attention_norm", hidden});
    if (config.sub_norms) {
      layout.norms.push_back({layer + "attn_sub_norm", queries});
      layout.norms.push_back({layer + "ffn_sub_norm", inner});
    }
    layout.linears.push_back({layer + "q", queries, hidden});
    layout.linears.push_back({layer + "k", keys, hidden});
    layout.linears.push_back({layer + "v", keys, hidden});
    layout.linears.push_back({layer + "o", hidden, queries});
    layout.linears.push_back({layer + "gate", inner, hidden});
    layout.linears.push_back({layer + "up", inner, hidden});
    layout.linears.push_back({layer + "down", hidden, inner});
  }
  return layout;
}

std::string checkpoint_module(std::string_view bundle_name) {
  for (const ModuleName& module : kTopModules) {
    if (module.bundle == bundle_name) return std::string(module.checkpoint);
  }
  const std::size_t dot = bundle_name.rfind('.');
  if (dot != std::string_view::npos) {
    for (const ModuleName& module : kLayerModules) {
      if (module.bundle == bundle_name.substr(dot + 1)) {
        return "model." + std::string(bundle_name.substr(0, dot + 1)) +
               std::string(module.checkpoint);
      }
    }
  }
  throw Error(ErrorCode::kInternal, "no module for " + in_quotes(bundle_name));
}

}  // namespace sterna

#include "format/bundle_layout.h"

namespace sterna {

std::string quantized_name(std::string_view name, WeightFormat format) {
  return std::string(name) + "." + std::string(weight_format_name(format));
}

BundleLayout bundle_layout(const ModelConfig& config) {
  const int hidden = config.hidden_size;
  const int inner = config.intermediate_size;
  const int queries = config.heads * config.head_dim;
  const int keys = config.kv_heads * config.head_dim;
  BundleLayout layout;
  layout.head = config.tied_embeddings ? "embed_tokens" : "lm_head";
  const int group = config.weight_group;
  const auto add_table = [&](const char* name, bool ternary) {
    if (ternary) {
      layout.linears.push_back({name, config.vocab_size, hidden, group});
    } else {
      layout.dense.push_back({name, config.vocab_size, hidden});
    }
  };
  add_table("embed_tokens", config.ternary_embedding);
  if (!config.tied_embeddings) add_table("lm_head", config.ternary_head);
  layout.norms.push_back({"norm", hidden});
  for (int i = 0; i < config.layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    layout.norms.push_back({layer + "input_norm", hidden});
    layout.norms.push_back({layer + "post_attention_norm", hidden});
    if (config.sub_norms) {
      layout.norms.push_back({layer + "attn_sub_norm", queries});
      layout.norms.push_back({layer + "ffn_sub_norm", inner});
    }
    if (config.qk_norms) {
      layout.norms.push_back({layer + "q_norm", config.head_dim});
      layout.norms.push_back({layer + "k_norm", config.head_dim});
    }
    const TernarySpec linears[] = {
        {layer + "q", queries, hidden, group},  {layer + "k", keys, hidden, group},
        {layer + "v", keys, hidden, group},     {layer + "o", hidden, queries, group},
        {layer + "gate", inner, hidden, group}, {layer + "up", inner, hidden, group},
        {layer + "down", hidden, inner, group}};
    for (const TernarySpec& linear : linears) {
      if (config.projection_norms) layout.norms.push_back({linear.name + ".norm", linear.cols});
      layout.linears.push_back(linear);
    }
  }
  return layout;
}

}  // namespace sterna

#include "format/bundle_layout.h"

namespace sterna {

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
    if (config.qk_norms) {
      layout.norms.push_back({layer + "q_norm", config.head_dim});
      layout.norms.push_back({layer + "k_norm", config.head_dim});
    }
    const TernarySpec linears[] = {{layer + "q", queries, hidden},  {layer + "k", keys, hidden},
                                   {layer + "v", keys, hidden},     {layer + "o", hidden, queries},
                                   {layer + "gate", inner, hidden}, {layer + "up", inner, hidden},
                                   {layer + "down", hidden, inner}};
    for (const TernarySpec& linear : linears) {
      if (config.projection_norms) layout.norms.push_back({linear.name + ".norm", linear.cols});
      layout.linears.push_back(linear);
    }
  }
  return layout;
}

}  // namespace sterna

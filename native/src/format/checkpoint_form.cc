#include "format/checkpoint_form.h"

#include "base/quoted.h"
#include "model/families.h"
#include "sterna/error.h"

namespace sterna {

namespace {

struct ModuleName {
  std::string_view bundle;
  std::string_view checkpoint;
};

constexpr ModuleName kLayerModules[] = {
    {"input_norm", "input_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"attn_sub_norm", "self_attn.attn_sub_norm"},
    {"ffn_sub_norm", "mlp.ffn_sub_norm"},
    {"q_norm", "self_attn.q_norm"},
    {"k_norm", "self_attn.k_norm"},
    {"q", "self_attn.q_proj"},
    {"k", "self_attn.k_proj"},
    {"v", "self_attn.v_proj"},
    {"o", "self_attn.o_proj"},
    {"gate", "mlp.gate_proj"},
    {"up", "mlp.up_proj"},
    {"down", "mlp.down_proj"},
};

// In the checkpoints of 1bitLLM.
constexpr ModuleName kOldModules[] = {
    {"attn_sub_norm", "self_attn.inner_attn_ln"},
    {"ffn_sub_norm", "mlp.ffn_layernorm"},
};

constexpr std::string_view kOwnNorm = ".norm";  // "layers.3.q.norm" in a bundle

}  // namespace

CheckpointForm::CheckpointForm(const Checkpoint& checkpoint)
    : config_(parse_config(checkpoint.config_text(), checkpoint.config_path())) {
  if (checkpoint.find("model.embed_tokens.weight") == nullptr &&
      checkpoint.find("embed_tokens.weight") != nullptr) {
    prefix_.clear();
  }
  complete(checkpoint);
}

void CheckpointForm::complete(const Checkpoint& checkpoint) {
  ModelConfig& model = config_.model;
  const std::string own_norm = module("layers.0.q") + ".norm.weight";
  if (!model.projection_norms && checkpoint.find(own_norm) != nullptr) {
    projection_norm_ = ".norm";
    model.projection_norms = true;
    model.projection_norm_eps = model.rms_norm_eps;
  }
  if (config_.storage != WeightStorage::kUndeclared) return;
  if (!find_family(model.architecture)->latent && !model.projection_norms) {
    throw Error(ErrorCode::kUnsupportedModel,
                checkpoint.config_path() +
                    ": \"quantization_config\" is missing; supported: {\"quant_method\": "
                    "\"bitnet\", ...}, a model with ternary weights",
                "quantization_config");
  }
  config_.storage = WeightStorage::kLatent;
}

std::string CheckpointForm::weight_name(std::string_view bundle_name) const {
  return module(bundle_name) + ".weight";
}

std::string CheckpointForm::scale_name(std::string_view bundle_name) const {
  return module(bundle_name) + ".weight_scale";
}

std::string CheckpointForm::module(std::string_view bundle_name) const {
  if (bundle_name == "lm_head") return "lm_head";
  const std::size_t dot = bundle_name.rfind('.');
  if (dot == std::string_view::npos) return prefix_ + std::string(bundle_name);
  if (bundle_name.ends_with(kOwnNorm)) {
    bundle_name.remove_suffix(kOwnNorm.size());
    return module(bundle_name) + projection_norm_;
  }
  const std::string_view name = bundle_name.substr(dot + 1);
  const std::string start = prefix_ + std::string(bundle_name.substr(0, dot + 1));
  if (find_family(config_.model.architecture)->latent) {
    for (const ModuleName& old : kOldModules) {
      if (old.bundle == name) return start + std::string(old.checkpoint);
    }
  }
  for (const ModuleName& known : kLayerModules) {
    if (known.bundle == name) return start + std::string(known.checkpoint);
  }
  throw Error(ErrorCode::kInternal, "no module for " + in_quotes(std::string(bundle_name)));
}

}  // namespace sterna

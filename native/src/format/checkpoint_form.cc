#include "format/checkpoint_form.h"

#include <cmath>
#include <optional>

#include "base/quoted.h"
#include "format/bundle_layout.h"
#include "format/ternary_groups.h"
#include "model/config_reader.h"
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

constexpr int kGroups[] = {128, 64};

// The float tensor of these sizes; null when there is none.
const TensorView* floats_of(const Checkpoint& checkpoint, const std::string& name, int rows,
                            int cols) {
  const TensorView* tensor = checkpoint.find(name);
  const bool fits = tensor != nullptr && is_float(tensor->dtype) &&
                    tensor->shape == std::vector<std::int64_t>{rows, cols};
  return fits ? tensor : nullptr;
}

Error not_ternary(const Checkpoint& checkpoint, const std::string& name, const GroupScan& scan) {
  return Error(ErrorCode::kUnsupportedModel,
               checkpoint.directory() + ": tensor " + in_quotes(name) + " is not ternary: row " +
                   std::to_string(scan.row) + " holds " + shown(nlohmann::json(scan.value)) +
                   " in column " + std::to_string(scan.col) +
                   " beside other magnitudes, and config.json has no \"quantization_config\"; if "
                   "these are the latent weights of a model with ternary ones, add "
                   "\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": "
                   "\"autobitlinear\", \"quantization_mode\": \"online\"}",
               name);
}

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
  if (config_.storage == WeightStorage::kUndeclared) {
    if (find_family(model.architecture)->latent || model.projection_norms) {
      config_.storage = WeightStorage::kLatent;
    } else {
      find_groups(checkpoint);
      config_.storage = WeightStorage::kTernary;
    }
  }
  if (model.weight_group != 0) find_ternary_tables(checkpoint);
}

void CheckpointForm::find_groups(const Checkpoint& checkpoint) {
  ModelConfig& model = config_.model;
  std::optional<Error> failure;
  for (const int group : kGroups) {
    failure.reset();
    half_scales_ = true;
    for (const TernarySpec& spec : bundle_layout(model).linears) {
      const TensorView* tensor =
          floats_of(checkpoint, weight_name(spec.name), spec.rows, spec.cols);
      if (tensor == nullptr) continue;  // the packer says what is wrong with it
      const GroupScan scan = scan_groups(*tensor, group);
      half_scales_ &= scan.half_scales;
      if (scan.ternary) continue;
      if (!std::isfinite(scan.value)) {
        checkpoint.refuse(tensor->name, "holds a value that is not finite");
      }
      failure = not_ternary(checkpoint, tensor->name, scan);
      break;
    }
    if (!failure) {
      model.weight_group = group;
      return;
    }
  }
  throw *failure;
}

void CheckpointForm::find_ternary_tables(const Checkpoint& checkpoint) {
  ModelConfig& model = config_.model;
  const auto is_ternary = [&](const char* name) {
    const TensorView* packed = checkpoint.find(weight_name(name));
    if (packed != nullptr && packed->dtype == Dtype::kU8) return true;
    const TensorView* tensor =
        floats_of(checkpoint, weight_name(name), model.vocab_size, model.hidden_size);
    if (tensor == nullptr || config_.storage != WeightStorage::kTernary) return false;
    const GroupScan scan = scan_groups(*tensor, model.weight_group);
    if (scan.ternary) half_scales_ &= scan.half_scales;
    return scan.ternary;
  };
  model.ternary_embedding = is_ternary("embed_tokens");
  model.ternary_head = !model.tied_embeddings && is_ternary("lm_head");
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

// What a checkpoint calls its tensors, and what they tell that config.json does not.
#pragma once

#include <string>
#include <string_view>

#include "format/checkpoint.h"
#include "model/config.h"

namespace sterna {

// config.json as far as it goes, completed from the tensors:
//   - names begin with "model.", or without it where the checkpoint is a bare decoder;
//   - a tensor "<linear>.norm.weight" says that every linear has an RMSNorm of its own, whose eps
//     is the model's; with use_rms_norm it is called "<linear>.rms_norm.weight";
//   - without a quantization_config, weights are latent floats of a family that has no others, or
//     of linears that have norms of their own; or else they are ternary as they are, with a scale
//     for every 128 or 64 columns of a row, which reading all of them shows;
//   - embedding and output head are ternary where the linears have such groups and they do, too.
class CheckpointForm {
 public:
  // Throws Error: as parse_config does; kUnsupportedModel when nothing says that the weights are
  // ternary, naming the first that is not; kCheckpointInvalid for one that is not finite.
  explicit CheckpointForm(const Checkpoint& checkpoint);

  const CheckpointConfig& config() const { return config_; }

  // The tensors of a bundle's "layers.3.q", such as "model.layers.3.self_attn.q_proj.weight".
  std::string weight_name(std::string_view bundle_name) const;
  std::string scale_name(std::string_view bundle_name) const;
  // Of weights that are ternary as they are: whether all scales of all matrices are halves.
  bool half_scales() const { return half_scales_; }

 private:
  std::string module(std::string_view bundle_name) const;
  void complete(const Checkpoint& checkpoint);
  void find_groups(const Checkpoint& checkpoint);
  void find_ternary_tables(const Checkpoint& checkpoint);

  CheckpointConfig config_;
  std::string prefix_ = "model.";
  std::string projection_norm_ = ".rms_norm";
  bool half_scales_ = true;
};

}  // namespace sterna

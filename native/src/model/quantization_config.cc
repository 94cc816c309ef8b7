#include "model/quantization_config.h"

#include <set>
#include <string>
#include <string_view>

#include "base/quoted.h"

namespace sterna {

namespace {

const std::set<std::string_view> kHarmlessQuantizationKeys = {
    "bits",  // descriptive; the layout is fixed by quant_method
};

// A list is taken literally, so the output head must be in it when it has weights of its own.
void check_unconverted_modules(ConfigReader& reader, bool tied) {
  const nlohmann::json& list = reader.value("modules_to_not_convert");
  if (list.is_null()) return;
  if (!list.is_array()) reader.invalid("modules_to_not_convert", "must be a list or null");
  bool head = false;
  for (const auto& name : list) {
    if (name == "lm_head" || name == "lm_head.weight") {
      head = true;
    } else if (name != "model.embed_tokens" && name != "embed_tokens") {
      reader.unsupported("modules_to_not_convert",
                         "names " + shown(name) + "; only \"lm_head\" may stay unconverted");
    }
  }
  if (!head && !tied) {
    reader.unsupported("modules_to_not_convert",
                       "leaves out \"lm_head\": a ternary output head is not supported here");
  }
}

// One of `allowed`, the first when there is none.
std::string choice(ConfigReader& reader, const std::string& key, std::string_view first,
                   std::string_view second) {
  if (!reader.has(key)) return std::string(first);
  const std::string value = reader.text(key);
  if (value != first && value != second) {
    reader.unsupported(key, "is " + in_quotes(value) + "; supported: \"" + std::string(first) +
                                "\", \"" + std::string(second) + "\"");
  }
  return value;
}

// Old checkpoints of 1bitLLM say so in the config itself.
void check_bits(ConfigReader& reader) {
  if (reader.has("weight_bits") && reader.integer("weight_bits", 0, 64) != 1) {
    reader.unsupported("weight_bits", "must be 1: weights are ternary");
  }
  if (reader.has("input_bits") && reader.integer("input_bits", 0, 64) != 8) {
    reader.unsupported("input_bits", "must be 8: activations are rounded to int8");
  }
}

}  // namespace

void read_quantization(ConfigReader& reader, CheckpointConfig& config) {
  check_bits(reader);
  if (reader.has("quantization")) {
    reader.unsupported("quantization",
                       "is that of MLX, whose files are not read; the same model as floats "
                       "(-unpacked) or as GGUF is");
  }
  if (!reader.has("quantization_config")) {
    config.storage = WeightStorage::kUndeclared;
    return;
  }
  ConfigReader quantization = reader.object("quantization_config");
  const std::string method = quantization.text("quant_method");
  if (method != "bitnet") {
    quantization.unsupported("quant_method", "is " + in_quotes(method) + "; supported: \"bitnet\"");
  }
  const std::string linear = choice(quantization, "linear_class", "bitlinear", "autobitlinear");
  const std::string mode = choice(quantization, "quantization_mode", "offline", "online");
  if (mode == "online" && linear != "autobitlinear") {
    quantization.unsupported("quantization_mode",
                             "\"online\" is supported with linear_class \"autobitlinear\" only");
  }
  const double eps = quantization.has("rms_norm_eps") ? quantization.number("rms_norm_eps") : 1e-6;
  if (quantization.boolean_or("use_rms_norm", false)) {
    if (!(eps > 0.0 && eps < 1.0)) {
      quantization.invalid("rms_norm_eps", "must be above 0 and below 1");
    }
    config.model.projection_norms = true;
    config.model.projection_norm_eps = static_cast<float>(eps);
  }
  if (quantization.has("group_size")) {
    // Of this project: a weight_scale [out, groups] in place of one number.
    const int group = quantization.integer("group_size", 64, 8192);
    if (group % 64 != 0) {
      quantization.unsupported("group_size",
                               "is " + std::to_string(group) + ", must be a multiple of 64");
    }
    if (mode == "online" || linear != "autobitlinear") {
      quantization.unsupported("group_size",
                               "is supported with linear_class \"autobitlinear\", offline only");
    }
    config.model.weight_group = group;
  }
  check_unconverted_modules(quantization, config.model.tied_embeddings);
  quantization.refuse_unknown(kHarmlessQuantizationKeys);
  config.storage = mode == "online" ? WeightStorage::kLatent : WeightStorage::kPacked;
  config.scale_rule = linear == "autobitlinear" ? ScaleRule::kMultiply : ScaleRule::kDivide;
}

}  // namespace sterna

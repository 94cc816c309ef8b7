#include "model/config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/quoted.h"
#include "format/json.h"
#include "kernels/kernels.h"
#include "model/config_reader.h"
#include "model/families.h"
#include "model/quantization_config.h"
#include "model/rope_config.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr std::size_t kMaxConfigBytes = std::size_t{4} << 20;

// The widest input of a linear, kMaxHeadDim and kMaxGroup are what the kernels have room for. The
// other limits only keep products of sizes far from overflow.
constexpr int kMaxWidth = kMaxTernaryCols;
constexpr int kMaxVocab = 1 << 22;
constexpr int kMaxLayers = 1024;
constexpr int kMaxHeads = 4096;
constexpr int kMaxContext = 1 << 24;

// Keys of config.json without effect on what a loaded model computes, by reason.
const std::set<std::string_view> kHarmlessKeys = {
    // how and by what the file was written
    "_name_or_path",
    "_commit_hash",
    "transformers_version",
    "transformers.js_config",
    "auto_map",
    "custom_pipelines",
    "is_bitnet_config",
    // the dtype of the tensors, which each tensor states itself
    "torch_dtype",
    "dtype",
    // training only: initial values and dropout, off in inference
    "initializer_range",
    "attention_dropout",
    "hidden_dropout",
    "embd_pdrop",
    "resid_pdrop",
    "use_cache",
    "gradient_checkpointing",
    "pretraining_tp",
    // tokens, read by the tokenizer's side
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "decoder_start_token_id",
    "tokenizer_class",
    "prefix",
    // how the reference library returns its results, or implements the same mathematics
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "torchscript",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "chunk_size_feed_forward",
    "tf_legacy_loss",
    "use_bfloat16",
    // of the sliding window, which must be off
    "max_window_layers",
    // heads for other tasks
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "finetuning_task",
    "task_specific_params",
    // generation defaults that old files keep here; the server reads generation_config.json
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "max_length",
    "min_length",
    "num_beams",
    "repetition_penalty",
};

void read_architecture(ConfigReader& reader, ModelConfig& model) {
  const nlohmann::json& list = reader.value("architectures");
  if (!list.is_array() || list.size() != 1 || !list[0].is_string()) {
    reader.invalid("architectures", "must be a list with one name");
  }
  model.architecture = list[0].get<std::string>();
  const Family* family = find_family(model.architecture);
  if (family == nullptr) {
    reader.unsupported("architectures", "is " + in_quotes(model.architecture) + "; " +
                                            supported_families(model.architecture));
  }
  const std::string type = reader.text("model_type");
  const auto& types = family->model_types;
  if (std::find(types.begin(), types.end(), type) == types.end()) {
    reader.invalid("model_type", "is " + in_quotes(type) + ", but " + model.architecture +
                                     " needs " + in_quotes(std::string(types.front())));
  }
  model.sub_norms = family->sub_norms;
  model.qk_norms = family->qk_norms;
}

void read_sizes(ConfigReader& reader, ModelConfig& model) {
  model.vocab_size = reader.integer("vocab_size", 1, kMaxVocab);
  model.hidden_size = reader.integer("hidden_size", 1, kMaxWidth);
  model.intermediate_size = reader.integer("intermediate_size", 1, kMaxWidth);
  model.layers = reader.integer("num_hidden_layers", 1, kMaxLayers);
  model.heads = reader.integer("num_attention_heads", 1, kMaxHeads);
  model.kv_heads = reader.has("num_key_value_heads")
                       ? reader.integer("num_key_value_heads", 1, kMaxHeads)
                       : model.heads;
  model.context_length = reader.integer("max_position_embeddings", 1, kMaxContext);
  if (model.heads % model.kv_heads != 0) {
    reader.invalid("num_key_value_heads", "is " + std::to_string(model.kv_heads) +
                                              ", which does not divide num_attention_heads (" +
                                              std::to_string(model.heads) + ")");
  }
  if (model.heads / model.kv_heads > kMaxGroup) {
    reader.unsupported("num_key_value_heads", "is " + std::to_string(model.kv_heads) +
                                                  ", so that " +
                                                  std::to_string(model.heads / model.kv_heads) +
                                                  " attention heads share each of them, at most " +
                                                  std::to_string(kMaxGroup) + " are supported");
  }
  if (reader.has("head_dim")) {
    model.head_dim = reader.integer("head_dim", 2, kMaxHeadDim);
  } else {
    if (model.hidden_size % model.heads != 0) {
      reader.invalid("hidden_size", "is " + std::to_string(model.hidden_size) +
                                        ", which num_attention_heads (" +
                                        std::to_string(model.heads) + ") does not divide");
    }
    model.head_dim = model.hidden_size / model.heads;
    if (model.head_dim > kMaxHeadDim) {
      reader.unsupported("hidden_size", "gives heads of " + std::to_string(model.head_dim) +
                                            " dimensions, at most " + std::to_string(kMaxHeadDim) +
                                            " are supported");
    }
  }
  if (model.head_dim % 2 != 0) {
    reader.invalid("head_dim", "is " + std::to_string(model.head_dim) +
                                   ", must be even for rotary position embeddings");
  }
  if (model.head_dim % kHeadDimStep != 0) {
    reader.unsupported("head_dim", "is " + std::to_string(model.head_dim) + ", only multiples of " +
                                       std::to_string(kHeadDimStep) + " are supported");
  }
  const int width = model.heads * model.head_dim;  // at most 2^20
  if (width > kMaxWidth) {
    reader.unsupported("head_dim", "times num_attention_heads is " + std::to_string(width) +
                                       ", at most " + std::to_string(kMaxWidth) + " is supported");
  }
  if (model.sub_norms && width != model.hidden_size) {
    reader.invalid("head_dim", "times num_attention_heads is " + std::to_string(width) +
                                   ", must equal hidden_size (" +
                                   std::to_string(model.hidden_size) +
                                   ") because attn_sub_norm has that size");
  }
}

float read_eps(ConfigReader& reader, const std::string& key) {
  const auto eps = static_cast<float>(reader.number(key));
  if (!(eps > 0.0f && eps < 1.0f)) reader.invalid(key, "must be above 0 and below 1");
  return eps;
}

void read_norm_and_activation(ConfigReader& reader, ModelConfig& model) {
  model.rms_norm_eps = read_eps(reader, "rms_norm_eps");
  const std::string activation = reader.text("hidden_act");
  if (activation == "relu2") {
    model.activation = Activation::kRelu2;
  } else if (activation == "silu") {
    model.activation = Activation::kSilu;
  } else {
    reader.unsupported("hidden_act",
                       "is " + in_quotes(activation) + "; supported: \"relu2\", \"silu\"");
  }
}

// Features of other decoders that must be switched off.
void check_absent_features(ConfigReader& reader, const ModelConfig& model) {
  for (const char* key : {"attention_bias", "mlp_bias", "qkv_bias", "use_bias",
                          "use_sliding_window", "is_encoder_decoder", "add_cross_attention",
                          "use_qk_norm", "cross_attention_hidden_size", "tie_encoder_decoder"}) {
    const nlohmann::json& value = reader.value(key);
    if (!value.is_null() && value != false) {
      reader.unsupported(key, "is " + shown(value) + "; supported: false");
    }
  }
  // Qwen has a window's size beside the switch that says whether there is one.
  if (reader.has("sliding_window") && !model.qk_norms) {
    reader.unsupported("sliding_window", "is " + shown(reader.value("sliding_window")) +
                                             "; supported: null (full attention)");
  }
  const nlohmann::json& kinds = reader.value("layer_types");
  if (!kinds.is_null()) {
    if (!kinds.is_array()) reader.invalid("layer_types", "must be a list");
    for (const auto& kind : kinds) {
      if (kind != "full_attention") {
        reader.unsupported("layer_types",
                           "contains " + shown(kind) + "; supported: \"full_attention\"");
      }
    }
  }
  const nlohmann::json& pruned = reader.value("pruned_heads");
  if (!pruned.is_null() && !pruned.empty()) {
    reader.unsupported("pruned_heads", "must be empty");
  }
}

// What both forms of the file share; `reader` has the keys of a Hugging Face config.
void read_model(ConfigReader& reader, ModelConfig& model) {
  read_architecture(reader, model);
  read_sizes(reader, model);
  read_rope(reader, model);
  read_norm_and_activation(reader, model);
  model.tied_embeddings =
      reader.boolean_or("tie_word_embeddings", false) || find_family(model.architecture)->headless;
}

nlohmann::json parse_object(std::string_view text, const std::string& source) {
  nlohmann::json root =
      parse_json(text, source, {kMaxConfigBytes, 32}, ErrorCode::kCheckpointInvalid);
  if (!root.is_object()) {
    throw Error(ErrorCode::kCheckpointInvalid, source + ": must hold one JSON object", source);
  }
  return root;
}

}  // namespace

CheckpointConfig parse_config(std::string_view text, const std::string& source) {
  const nlohmann::json root = parse_object(text, source);
  ConfigReader reader(root, source);
  CheckpointConfig config;
  read_model(reader, config.model);
  check_absent_features(reader, config.model);
  read_quantization(reader, config);
  reader.refuse_unknown(kHarmlessKeys);
  return config;
}

std::string config_to_json(const ModelConfig& config) {
  nlohmann::json root = {
      {"architectures", nlohmann::json::array({config.architecture})},
      {"model_type", find_family(config.architecture)->model_types.front()},
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"num_key_value_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"max_position_embeddings", config.context_length},
      {"rms_norm_eps", config.rms_norm_eps},
      {"rope_theta", config.rope_theta},
      {"hidden_act", config.activation == Activation::kRelu2 ? "relu2" : "silu"},
      {"tie_word_embeddings", config.tied_embeddings},
  };
  if (config.rope_scaling.type != RopeType::kDefault) {
    root["rope_scaling"] = rope_scaling_to_json(config.rope_scaling);
  }
  if (config.weight_group != 0) {
    root["weight_group"] = config.weight_group;
    root["ternary_embedding"] = config.ternary_embedding;
    root["ternary_head"] = config.ternary_head;
  }
  if (config.projection_norms) root["projection_norm_eps"] = config.projection_norm_eps;
  return root.dump();
}

ModelConfig config_from_json(std::string_view text, const std::string& source) {
  const nlohmann::json root = parse_object(text, source);
  ConfigReader reader(root, source);
  ModelConfig config;
  read_model(reader, config);
  config.projection_norms = reader.has("projection_norm_eps");
  if (config.projection_norms) {
    config.projection_norm_eps = read_eps(reader, "projection_norm_eps");
  }
  if (reader.has("weight_group")) {
    config.weight_group = reader.integer("weight_group", 64, kMaxWidth);
    if (config.weight_group % 64 != 0) reader.invalid("weight_group", "must be a multiple of 64");
    config.ternary_embedding = reader.boolean("ternary_embedding");
    config.ternary_head = reader.boolean("ternary_head");
    if (config.ternary_head && config.tied_embeddings) {
      reader.invalid("ternary_head",
                     "must be false: tie_word_embeddings says there is no such head");
    }
  }
  reader.refuse_unknown({});
  return config;
}

}  // namespace sterna

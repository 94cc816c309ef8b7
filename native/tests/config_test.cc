#include "model/config.h"

#include <nlohmann/json.hpp>

#include "check.h"
#include "config_support.h"
#include "format/json.h"
#include "format_support.h"

namespace sterna::test {
namespace {

json with_quantization(const json& quantization) {
  return with(llama_config(), "quantization_config", quantization);
}

TEST(reads_a_bitnet_config) {
  const CheckpointConfig config = parse(bitnet_config());
  const ModelConfig& model = config.model;
  CHECK_EQ(model.architecture, "BitNetForCausalLM");
  CHECK_EQ(model.vocab_size, 128256);
  CHECK_EQ(model.hidden_size, 2560);
  CHECK_EQ(model.intermediate_size, 6912);
  CHECK_EQ(model.layers, 30);
  CHECK_EQ(model.heads, 20);
  CHECK_EQ(model.kv_heads, 5);
  CHECK_EQ(model.head_dim, 128);
  CHECK_EQ(model.context_length, 4096);
  CHECK_EQ(model.rms_norm_eps, 1e-5f);
  CHECK_EQ(model.rope_theta, 500000.0);
  CHECK(model.activation == Activation::kRelu2);
  CHECK(model.sub_norms);
  CHECK(model.tied_embeddings);
  CHECK(config.storage == WeightStorage::kPacked);
  CHECK(config.scale_rule == ScaleRule::kMultiply);
}

TEST(reads_a_llama_config) {
  const CheckpointConfig config = parse(llama_config());
  CHECK(config.model.activation == Activation::kSilu);
  CHECK(!config.model.sub_norms);
  CHECK(!config.model.tied_embeddings);
  CHECK_EQ(config.model.rope_theta, 500000.0);
  CHECK(config.storage == WeightStorage::kPacked);
  CHECK(config.scale_rule == ScaleRule::kDivide);
}

TEST(linear_class_decides_the_scale_rule) {
  const auto rule = [](const json& extra) {
    json quantization = {{"quant_method", "bitnet"}};
    quantization.update(extra);
    return parse(with_quantization(quantization));
  };
  CHECK(rule(json::object()).scale_rule == ScaleRule::kDivide);
  CHECK(rule({{"linear_class", "bitlinear"}}).scale_rule == ScaleRule::kDivide);
  CHECK(rule({{"linear_class", "autobitlinear"}}).scale_rule == ScaleRule::kMultiply);
  CHECK(rule({{"linear_class", "autobitlinear"}}).storage == WeightStorage::kPacked);
  const json online = {{"linear_class", "autobitlinear"}, {"quantization_mode", "online"}};
  CHECK(rule(online).storage == WeightStorage::kLatent);
}

TEST(defaults_follow_the_other_values) {
  json config = llama_config();
  config.erase("head_dim");
  config.erase("num_key_value_heads");
  config.erase("tie_word_embeddings");
  const ModelConfig model = parse(config).model;
  CHECK_EQ(model.head_dim, 128);
  CHECK_EQ(model.kv_heads, 32);
  CHECK(!model.tied_embeddings);
  // A head size of its own need not fill the hidden size.
  CHECK_EQ(parse(with(llama_config(), "head_dim", 64)).model.head_dim, 64);
}

TEST(every_size_is_required) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "max_position_embeddings", "rms_norm_eps",
                          "hidden_act", "model_type", "architectures"}) {
    json config = bitnet_config();
    config.erase(key);
    check_refused(config, ErrorCode::kCheckpointInvalid, key, "");
    invalid(bitnet_config(), key, nullptr);
  }
  json config = bitnet_config();
  config.erase("rope_theta");
  check_refused(config, ErrorCode::kCheckpointInvalid, "rope_theta", "is missing");
}

TEST(sizes_are_checked) {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "max_position_embeddings"}) {
    invalid(bitnet_config(), key, 0, "must be at least 1");
    invalid(bitnet_config(), key, -1, "must be at least 1");
    invalid(bitnet_config(), key, 1.5, "must be an integer");
    invalid(bitnet_config(), key, "5", "must be an integer");
    invalid(bitnet_config(), key, true, "must be an integer");
    unsupported(bitnet_config(), key, INT64_MAX, "is supported");
    unsupported(bitnet_config(), key, UINT64_MAX, "is supported");
  }
  invalid(bitnet_config(), "num_key_value_heads", 3, "does not divide");
  invalid(bitnet_config(), "num_key_value_heads", 40, "does not divide");
  invalid(bitnet_config(), "hidden_size", 2561, "does not divide");
  invalid(bitnet_config(), "head_dim", 127, "must be even");
  invalid(bitnet_config(), "head_dim", 64, "must equal hidden_size");
  json wide = llama_config();
  wide["head_dim"] = 256;
  wide["num_attention_heads"] = 4096;
  wide["num_key_value_heads"] = 4096;
  check_refused(wide, ErrorCode::kUnsupportedModel, "head_dim", "at most 131072");
}

// What the kernels have room for; beyond it they would write past their buffers.
TEST(shapes_beyond_the_kernels_are_refused) {
  unsupported(llama_config(), "head_dim", 260, "at most 256");
  unsupported(llama_config(), "head_dim", 126, "multiples of 4");
  CHECK_EQ(parse(with(llama_config(), "head_dim", 256)).model.head_dim, 256);
  json few = llama_config();
  few.erase("head_dim");
  few["num_attention_heads"] = few["num_key_value_heads"] = 8;
  check_refused(few, ErrorCode::kUnsupportedModel, "hidden_size", "at most 256");
  json shared = with(llama_config(), "num_key_value_heads", 1);
  shared["head_dim"] = 32;
  shared["num_attention_heads"] = 128;
  check_refused(shared, ErrorCode::kUnsupportedModel, "num_key_value_heads", "at most 64");
  shared["num_attention_heads"] = 64;
  CHECK_EQ(parse(shared).model.heads, 64);
}

TEST(numbers_are_checked) {
  invalid(bitnet_config(), "rms_norm_eps", 0, "above 0");
  invalid(bitnet_config(), "rms_norm_eps", -1e-5, "above 0");
  invalid(bitnet_config(), "rms_norm_eps", 1e-60, "above 0");  // zero as a float
  invalid(bitnet_config(), "rms_norm_eps", "1e-5", "must be a number");
  invalid(bitnet_config(), "rope_theta", 0, "above 1");
  invalid(bitnet_config(), "rope_theta", 1e13, "at most 1e12");
  invalid(bitnet_config(), "tie_word_embeddings", 1, "must be true or false");
}

TEST(architectures_and_activations_are_named) {
  unsupported(bitnet_config(), "architectures", {"GPT2LMHeadModel"}, "LlamaForCausalLM");
  invalid(bitnet_config(), "architectures", {"BitNetForCausalLM", "LlamaForCausalLM"}, "one name");
  invalid(bitnet_config(), "architectures", "BitNetForCausalLM", "must be a list");
  invalid(bitnet_config(), "model_type", "llama", "needs \"bitnet\"");
  unsupported(bitnet_config(), "hidden_act", "gelu", "\"relu2\", \"silu\"");
  CHECK(parse(with(bitnet_config(), "hidden_act", "silu")).model.activation == Activation::kSilu);
}

TEST(rope_comes_from_either_form) {
  json config = llama_config();
  config["rope_theta"] = 500000;
  CHECK_EQ(parse(config).model.rope_theta, 500000.0);
  config["rope_theta"] = 10000;
  check_refused(config, ErrorCode::kCheckpointInvalid, "rope_parameters.rope_theta", "contradicts");
  config = bitnet_config();
  CHECK_EQ(parse(with(config, "rope_scaling", {{"type", "default"}})).model.rope_theta, 500000.0);
  check_refused(with(config, "rope_scaling", {{"factor", 2.0}}), ErrorCode::kUnsupportedModel,
                "rope_scaling.factor", "");
  invalid(config, "rope_scaling", 2.0, "must be an object");
  unsupported(config, "partial_rotary_factor", 0.5);
  unsupported(config, "rope_interleaved", true);
}

TEST(features_of_other_decoders_are_refused) {
  for (const char* key : {"attention_bias", "mlp_bias", "qkv_bias", "use_bias",
                          "use_sliding_window", "use_qk_norm", "is_encoder_decoder"}) {
    unsupported(bitnet_config(), key, true);
    CHECK_EQ(parse(with(bitnet_config(), key, false)).model.layers, 30);
  }
  unsupported(bitnet_config(), "sliding_window", 4096);
  unsupported(bitnet_config(), "layer_types", {"full_attention", "sliding_attention"});
  CHECK_EQ(parse(with(bitnet_config(), "layer_types", {"full_attention"})).model.layers, 30);
  unsupported(bitnet_config(), "pruned_heads", {{"0", {1}}});
}

TEST(unknown_keys_are_refused_unless_null) {
  unsupported(bitnet_config(), "logit_softcapping", 30.0, "not a key this engine knows");
  unsupported(bitnet_config(), "embedding_multiplier", 1.0);
  CHECK_EQ(parse(with(bitnet_config(), "logit_softcapping", nullptr)).model.layers, 30);
  json config = bitnet_config();
  config["quantization_config"]["surprise"] = 128;
  check_refused(config, ErrorCode::kUnsupportedModel, "quantization_config.surprise", "");
}

TEST(quantization_is_checked) {
  const auto refused = [](const json& quantization, const std::string& key,
                          const std::string& needle) {
    check_refused(with_quantization(quantization), ErrorCode::kUnsupportedModel, key, needle);
  };
  const std::string prefix = "quantization_config.";
  CHECK(parse(with_quantization(nullptr)).storage == WeightStorage::kUndeclared);
  refused({{"quant_method", "gptq"}}, prefix + "quant_method", "\"bitnet\"");
  refused({{"quant_method", "bitnet"}, {"linear_class", "x"}}, prefix + "linear_class",
          "supported");
  refused({{"quant_method", "bitnet"}, {"quantization_mode", "x"}}, prefix + "quantization_mode",
          "supported");
  refused({{"quant_method", "bitnet"}, {"quantization_mode", "online"}},
          prefix + "quantization_mode", "autobitlinear");
  const json normed = {{"quant_method", "bitnet"}, {"use_rms_norm", true}};
  CHECK(parse(with_quantization(normed)).model.projection_norms);
  CHECK_EQ(parse(with_quantization(normed)).model.projection_norm_eps, 1e-6f);
  CHECK_EQ(parse(with_quantization(with(normed, "rms_norm_eps", 1e-3))).model.projection_norm_eps,
           1e-3f);
  check_refused(with_quantization(with(normed, "rms_norm_eps", 0.0)), ErrorCode::kCheckpointInvalid,
                prefix + "rms_norm_eps", "above 0");
  CHECK_EQ(parse(with_quantization(
                     {{"quant_method", "bitnet"}, {"use_rms_norm", false}, {"rms_norm_eps", 1e-6}}))
               .model.layers,
           32);
  check_refused(with_quantization("bitnet"), ErrorCode::kCheckpointInvalid, "quantization_config",
                "must be an object");
  check_refused(with_quantization({{"bits", 2}}), ErrorCode::kCheckpointInvalid,
                prefix + "quant_method", "is missing");
}

TEST(only_the_head_may_stay_unconverted) {
  const auto list = [](const json& modules) {
    return with_quantization({{"quant_method", "bitnet"}, {"modules_to_not_convert", modules}});
  };
  const std::string key = "quantization_config.modules_to_not_convert";
  CHECK_EQ(parse(list({"lm_head"})).model.layers, 32);
  check_refused(list({"lm_head", "o_proj"}), ErrorCode::kUnsupportedModel, key, "\"o_proj\"");
  check_refused(list(json::array()), ErrorCode::kUnsupportedModel, key, "lm_head");
  check_refused(list("lm_head"), ErrorCode::kCheckpointInvalid, key, "must be a list");
  CHECK(parse(with(list(json::array()), "tie_word_embeddings", true)).model.tied_embeddings);
}

TEST(text_that_is_not_an_object_is_refused) {
  for (const char* text : {"", "[]", "1", "null", "{", "{\"a\":1}x", "\xff", "{\"a\":1e999}"}) {
    CHECK_ERROR(parse_config(text, "config.json"), ErrorCode::kCheckpointInvalid, "config.json");
  }
  CHECK_ERROR(parse_config(std::string("{}\0{}", 5), "c"), ErrorCode::kCheckpointInvalid, "NUL");
  CHECK_ERROR(parse_config(R"({"hidden_size":1,"hidden_size":2})", "c"),
              ErrorCode::kCheckpointInvalid, "appears twice");
  CHECK_ERROR(
      parse_config("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}", "c"),
      ErrorCode::kCheckpointInvalid, "nested deeper");
  CHECK_ERROR(parse_config(std::string((4 << 20) + 1, ' '), "c"), ErrorCode::kCheckpointInvalid,
              "at most");
}

TEST(json_limits_hold_at_their_edges) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  const auto parse = [](const std::string& text, std::size_t bytes, int depth) {
    return parse_json(text, "file", {bytes, depth}, ErrorCode::kCheckpointInvalid);
  };
  CHECK(parse(nested(5), 10, 5).is_array());
  CHECK_ERROR(parse(nested(6), 12, 5), ErrorCode::kCheckpointInvalid, "nested deeper");
  CHECK_ERROR(parse(nested(5), 9, 5), ErrorCode::kCheckpointInvalid, "10 bytes");
  // The same key in different objects is no duplicate.
  CHECK_EQ(parse(R"({"a":{"b":1},"b":{"a":2},"c":[{"a":1},{"a":2}]})", 100, 5).size(), 3u);
  CHECK_ERROR(parse(R"({"a":{"b":1},"c":{"d":1,"e":{},"d":2}})", 100, 5),
              ErrorCode::kCheckpointInvalid, "\"d\" appears twice");
}

TEST(a_config_survives_its_bundle_form) {
  for (const json& source : {bitnet_config(), llama_config(), qwen3_config()}) {
    json changed = source;
    changed["rms_norm_eps"] = 1.2345678e-6;
    if (changed.contains("rope_theta")) changed["rope_theta"] = 123456.789;
    const ModelConfig before = parse(changed).model;
    const std::string text = config_to_json(before);
    const ModelConfig after = config_from_json(text, "bundle");
    CHECK_EQ(config_to_json(after), text);
    CHECK_EQ(after.architecture, before.architecture);
    CHECK_EQ(after.rms_norm_eps, before.rms_norm_eps);
    CHECK_EQ(after.rope_theta, before.rope_theta);
    CHECK_EQ(after.head_dim, before.head_dim);
    CHECK(after.activation == before.activation);
    CHECK_EQ(after.sub_norms, before.sub_norms);
    CHECK_EQ(after.qk_norms, before.qk_norms);
    CHECK_EQ(after.tied_embeddings, before.tied_embeddings);
  }
  CHECK_ERROR(config_from_json("{}", "bundle"), ErrorCode::kCheckpointInvalid, "architectures");
  json extra = json::parse(config_to_json(parse(bitnet_config()).model));
  extra["surprise"] = 1;
  CHECK_ERROR(config_from_json(extra.dump(), "bundle"), ErrorCode::kUnsupportedModel, "surprise");
  json tied = json::parse(config_to_json(parse(bitnet_config()).model));
  tied.update({{"weight_group", 128}, {"ternary_embedding", false}, {"ternary_head", true}});
  CHECK_ERROR(config_from_json(tied.dump(), "bundle"), ErrorCode::kCheckpointInvalid,
              "tie_word_embeddings");
}

}  // namespace
}  // namespace sterna::test

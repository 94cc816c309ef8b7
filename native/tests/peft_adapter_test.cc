// Adapters from files: what PEFT means is what is read, and everything else is refused by name.
#include "model/peft_adapter.h"

#include <cmath>
#include <limits>

#include "adapter_support.h"
#include "check.h"
#include "format_support.h"
#include "model/adapter.h"
#include "tiny_model.h"

namespace sterna::test {
namespace {

using nlohmann::json;

const ModelConfig& model() {
  static const auto loaded = make_tiny_model();
  return loaded->config();
}

// The adapter of a shape after `change`; kept open by the caller.
struct Case {
  json config;
  std::vector<RawTensor> tensors;
  std::string bytes;

  explicit Case(const AdapterShape& shape = {})
      : config(adapter_config(shape)), tensors(adapter_tensors(shape, model())) {}

  PeftAdapter open() {
    bytes = safetensors_bytes(tensors);
    const std::span<const std::uint8_t> view(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                             bytes.size());
    return PeftAdapter::parse(config.dump(), SafetensorsFile::parse(view, "weights"), "config",
                              model());
  }
  RawTensor& tensor(const std::string& name) {
    for (RawTensor& each : tensors) {
      if (each.name == name) return each;
    }
    throw std::runtime_error("no such tensor");
  }
};

Case with_key(const std::string& key, const json& value) {
  Case result;
  result.config[key] = value;
  return result;
}

constexpr ErrorCode kUnsupported = ErrorCode::kUnsupportedAdapter;
constexpr ErrorCode kInvalid = ErrorCode::kCheckpointInvalid;

TEST(all_seven_projections) {
  Case c;
  const PeftAdapter adapter = c.open();
  CHECK_EQ(adapter.linears().size(), std::size_t{14});
  CHECK_EQ(adapter.config().base_model, "someone/base");
  for (const PeftLinear& linear : adapter.linears()) {
    CHECK_EQ(linear.rank, 4);
    CHECK_EQ(linear.scale, 2.0f);
    CHECK_EQ(linear.a->shape[1], input_size(model(), linear.projection));
    CHECK_EQ(linear.b->shape[0], output_size(model(), linear.projection));
  }
}

TEST(scales_follow_rank_alpha_and_rslora) {
  Case plain({.rank = 4, .alpha = 6.0, .targets = {"q_proj"}});
  CHECK_EQ(plain.open().linears()[0].scale, 1.5f);
  Case rslora({.rank = 4, .alpha = 6.0, .targets = {"q_proj"}, .extra = {{"use_rslora", true}}});
  CHECK_EQ(rslora.open().linears()[0].scale, 3.0f);
  Case negative({.rank = 4, .alpha = -2.0, .targets = {"q_proj"}});
  CHECK_EQ(negative.open().linears()[0].scale, -0.5f);
}

TEST(patterns_choose_ranks_and_alphas) {
  Case c({.rank = 4, .alpha = 8.0, .targets = {"q_proj", "up_proj"}});
  c.config["rank_pattern"] = {{"layers.1.self_attn.q_proj", 2}};
  c.config["alpha_pattern"] = {
      {"up_proj", 12}, {"q_pro", 100}, {"model\\.layers\\.0\\..*q_proj", 1}};
  const int hidden = model().hidden_size;
  RawTensor& a = c.tensor(lora_name(1, "self_attn.q_proj", "A"));
  a.shape = {2, hidden};
  a.bytes.resize(a.bytes.size() / 2);
  RawTensor& b = c.tensor(lora_name(1, "self_attn.q_proj", "B"));
  b.shape = {hidden, 2};
  b.bytes.resize(b.bytes.size() / 2);
  const PeftAdapter adapter = c.open();
  CHECK_EQ(adapter.linears().size(), std::size_t{4});
  CHECK_EQ(adapter.linears()[0].scale, 0.25f);  // layer 0, q
  CHECK_EQ(adapter.linears()[1].scale, 3.0f);   // up
  CHECK_EQ(adapter.linears()[2].rank, 2);       // layer 1, q
  CHECK_EQ(adapter.linears()[2].scale, 4.0f);
}

TEST(the_first_pattern_in_the_file_counts) {
  const std::string before =
      R"({"peft_type":"LORA","r":4,"lora_alpha":4,"target_modules":["q_proj"],)";
  const auto scale = [&](const std::string& patterns) {
    const std::string text = before + "\"alpha_pattern\":{" + patterns + "}}";
    return parse_peft_config(text, "config").scale_of("model.layers.0.self_attn.q_proj");
  };
  CHECK_EQ(scale(R"("q_proj":8,".*q_proj":12)"), 2.0f);
  CHECK_EQ(scale(R"(".*q_proj":12,"q_proj":8)"), 3.0f);
  CHECK_EQ(scale(R"("k_proj":12)"), 1.0f);
}

TEST(targets_as_peft_names_them) {
  const auto applies = [](const json& target, const std::string& module, int layer,
                          json extra = json::object()) {
    json config = adapter_config({});
    config["target_modules"] = target;
    config.update(extra);
    return parse_peft_config(config.dump(), "config").applies_to(module, layer);
  };
  const std::string q = "model.layers.1.self_attn.q_proj";
  CHECK(applies({"q_proj"}, q, 1));
  CHECK(applies({"self_attn.q_proj"}, q, 1));
  CHECK(applies({q}, q, 1));
  CHECK(!applies({"proj"}, q, 1));
  CHECK(!applies({"k_proj"}, q, 1));
  CHECK(applies("all-linear", q, 1));
  CHECK(applies(".*\\.(q|v)_proj", q, 1));
  CHECK(!applies("q_proj", q, 1));
  CHECK(!applies({"q_proj"}, q, 1, {{"layers_to_transform", {0, 2}}}));
  CHECK(applies({"q_proj"}, q, 1, {{"layers_to_transform", 1}}));
  CHECK(applies({q}, q, 1, {{"layers_to_transform", {0}}}));
  CHECK(!applies({"q_proj"}, q, 1, {{"exclude_modules", {"layers.1.self_attn.q_proj"}}}));
  CHECK(!applies({"q_proj"}, q, 1, {{"exclude_modules", ".*layers\\.1\\..*"}}));
  CHECK(applies({"q_proj"}, q, 1, {{"exclude_modules", ".*layers\\.0\\..*"}}));
}

TEST(features_that_are_not_applied_are_refused_by_name) {
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, json>>{{"use_dora", true},
                                                           {"modules_to_save", {"lm_head"}},
                                                           {"trainable_token_indices", {1, 2}},
                                                           {"lora_bias", true},
                                                           {"target_parameters", {"x"}},
                                                           {"layer_replication", {{0, 1}}},
                                                           {"use_qalora", true},
                                                           {"use_bdlora", {{"nblocks", 2}}},
                                                           {"alora_invocation_tokens", {1}},
                                                           {"arrow_config", {{"top_k", 2}}},
                                                           {"fan_in_fan_out", true},
                                                           {"init_lora_weights", "pissa"},
                                                           {"init_lora_weights", "loftq"},
                                                           {"layers_pattern", "blocks"},
                                                           {"peft_type", "IA3"},
                                                           {"a_key_of_the_future", 3}}) {
    CHECK_ERROR(with_key(key, value).open(), kUnsupported, key);
  }
}

TEST(keys_that_change_nothing_are_accepted) {
  Case c;
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, json>>{
           {"lora_dropout", 0.1},
           {"bias", "none"},
           {"task_type", "CAUSAL_LM"},
           {"inference_mode", true},
           {"peft_version", "0.21.2"},
           {"use_dora", false},
           {"modules_to_save", nullptr},
           {"loftq_config", json::object()},
           {"qalora_group_size", 16},
           {"init_lora_weights", true},
           {"a_key_of_the_future", nullptr},
           {"another", false},
           {"runtime_config", {{"ephemeral_gpu_offload", false}}},
           {"layers_pattern", "layers"}}) {
    c.config[key] = value;
  }
  CHECK_EQ(c.open().linears().size(), std::size_t{14});
}

TEST(values_of_the_wrong_kind) {
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, json>>{{"r", 0},
                                                           {"r", "4"},
                                                           {"r", nullptr},
                                                           {"lora_alpha", "x"},
                                                           {"lora_alpha", nullptr},
                                                           {"use_rslora", 1},
                                                           {"target_modules", nullptr},
                                                           {"target_modules", json::array()},
                                                           {"target_modules", {1}},
                                                           {"target_modules", 5},
                                                           {"layers_to_transform", {-1}},
                                                           {"layers_to_transform", "x"},
                                                           {"rank_pattern", {{"q", 0}}},
                                                           {"rank_pattern", {{"q", 1.5}}},
                                                           {"rank_pattern", 3},
                                                           {"alpha_pattern", {{"q", "x"}}},
                                                           {"base_model_name_or_path", 7},
                                                           {"peft_type", nullptr}}) {
    CHECK_ERROR(with_key(key, value).open(), kInvalid, key);
  }
  CHECK_ERROR(with_key("lora_alpha", 1e30).open(), kUnsupported, "lora_alpha");
  CHECK_ERROR(with_key("r", 100000).open(), kUnsupported, "r");
  CHECK_ERROR(with_key("target_modules", "(?=q)").open(), kUnsupported, "look-around");
  CHECK_ERROR(with_key("rank_pattern", {{"(", 3}}).open(), kUnsupported, "rank_pattern");
  json large;
  for (int i = 0; i < 40; ++i) large["(a{1000}){19}" + std::to_string(i)] = 3;
  CHECK_ERROR(with_key("rank_pattern", large).open(), kUnsupported, "too large together");
}

TEST(tensors_that_are_not_lora_are_refused_by_name) {
  const std::string layer = "base_model.model.model.layers.0.";
  for (const auto& [name, why] : std::initializer_list<std::pair<std::string, const char*>>{
           {layer + "self_attn.q_proj.lora_magnitude_vector", "DoRA"},
           {layer + "self_attn.q_proj.lora_B.bias", "bias"},
           {"base_model.model.lm_head.weight", "modules_to_save"},
           {"base_model.model.model.embed_tokens.lora_embedding_A", "embedding"},
           {"base_model.model.lm_head.lora_A.weight", "no such projection"},
           {"base_model.model.model.layers.2.mlp.up_proj.lora_A.weight", "no such projection"},
           {layer + "mlp.up_proj.lora_C.weight", "no such projection"}}) {
    Case c;
    c.tensors.push_back({name, "F32", {1}, std::string(4, '\0')});
    CHECK_ERROR(c.open(), kUnsupported, why);
    CHECK_ERROR(c.open(), kUnsupported, name);
  }
}

TEST(tensors_and_configuration_must_agree) {
  const std::string name = lora_name(1, "mlp.up_proj", "B");
  Case missing;
  std::erase_if(missing.tensors, [&](const RawTensor& tensor) { return tensor.name == name; });
  CHECK_ERROR(missing.open(), kInvalid, name);
  Case untargeted;
  untargeted.config["target_modules"] = {"q_proj", "k_proj",    "v_proj",
                                         "o_proj", "gate_proj", "down_proj"};
  CHECK_ERROR(untargeted.open(), kInvalid, lora_name(0, "mlp.up_proj", "A"));
  Case nothing;
  nothing.tensors.clear();
  nothing.config["target_modules"] = {"other"};
  CHECK_ERROR(nothing.open(), kUnsupported, "target_modules");
  Case shape;
  shape.tensor(name).shape = {4, model().intermediate_size};
  CHECK_ERROR(shape.open(), kUnsupported, name);
  Case rank;
  rank.config["r"] = 5;
  CHECK_ERROR(rank.open(), kUnsupported, "rank 5");
  Case dtype;
  dtype.tensor(name).dtype = "I32";
  CHECK_ERROR(dtype.open(), kUnsupported, "I32");
}

TEST(damaged_files) {
  const TempDir dir;
  CHECK_ERROR(PeftAdapter::open(dir.path(), model()), ErrorCode::kIo, "adapter_config.json");
  write_file(dir / "adapter_config.json", "{");
  write_file(dir / "adapter_model.bin", "x");
  CHECK_ERROR(PeftAdapter::open(dir.path(), model()), kUnsupported, "pickle");
  write_file(dir / "adapter_model.safetensors", "x");
  CHECK_ERROR(PeftAdapter::open(dir.path(), model()), kInvalid, "adapter_model.safetensors");
  write_adapter(dir.path(), AdapterShape{}, model());
  write_file(dir / "adapter_config.json", "[]");
  CHECK_ERROR(PeftAdapter::open(dir.path(), model()), kInvalid, "object");
  write_file(dir / "adapter_config.json", std::string(2 << 20, ' '));
  CHECK_ERROR(PeftAdapter::open(dir.path(), model()), kInvalid, "1 MiB");
}

TEST(values_must_be_finite) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Case c;
    RawTensor& tensor = c.tensor(lora_name(1, "mlp.down_proj", "B"));
    std::memcpy(tensor.bytes.data() + 40, &bad, 4);
    const PeftAdapter peft = c.open();
    CHECK_ERROR(LoadedAdapter(peft, model(), AdapterPrecision::kF32), kInvalid, tensor.name);
  }
  Case c;
  const float large = 1e35f;
  RawTensor& tensor = c.tensor(lora_name(1, "mlp.down_proj", "A"));
  std::memcpy(tensor.bytes.data(), &large, 4);
  const PeftAdapter peft = c.open();
  CHECK_ERROR(LoadedAdapter(peft, model(), AdapterPrecision::kQ4), kUnsupported, tensor.name);
}

TEST(memory_follows_the_precision) {
  Case c({.rank = 32});
  const PeftAdapter peft = c.open();
  const auto bytes = [&](AdapterPrecision precision) {
    return LoadedAdapter(peft, model(), precision).memory_bytes();
  };
  const std::int64_t f32 = bytes(AdapterPrecision::kF32);
  CHECK(bytes(AdapterPrecision::kBf16) <= f32 / 2 + 8192);
  CHECK(bytes(AdapterPrecision::kInt8) <= f32 / 4 + 16384);
  CHECK(bytes(AdapterPrecision::kQ8) <= f32 * 34 / 128 + 16384);
  CHECK(bytes(AdapterPrecision::kQ4) <= f32 * 18 / 128 + 16384);
}

}  // namespace
}  // namespace sterna::test

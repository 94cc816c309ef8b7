#include "model/peft_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/quoted.h"
#include "format/json.h"
#include "model/config_reader.h"

namespace sterna {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxPatterns = 4096;
constexpr std::size_t kMaxStates = std::size_t{1} << 19;  // of all patterns of a key
constexpr int kMaxLayer = 1 << 16;
constexpr int kMaxRank = 1 << 16;

// What a false, zero or empty value switches off.
const std::pair<const char*, const char*> kFeatures[] = {
    {"use_dora", "DoRA is not supported; train the adapter without it"},
    {"modules_to_save", "whole modules are not supported, only LoRA on the seven projections"},
    {"trainable_token_indices", "changed token vectors are not supported"},
    {"lora_bias", "a bias on lora_B is not supported; train the adapter without it"},
    {"target_parameters", "LoRA on bare parameters is not supported"},
    {"layer_replication", "replicated layers are not supported"},
    {"use_qalora", "QALoRA is not supported"},
    {"use_bdlora", "block-diagonal LoRA is not supported"},
    {"alora_invocation_tokens", "activated LoRA is not supported"},
    {"arrow_config", "Arrow routing is not supported"},
    {"kasa_config", "KaSA is not supported"},
    {"velora_config", "VeLoRA is not supported"},
    {"monteclora_config", "MonteCLoRA is not supported"},
    {"fan_in_fan_out", "transposed weights are not supported"},
    {"ensure_weight_tying", "tied adapters are not supported"},
};

// Keys that say how an adapter was trained or stored, not what it computes.
const std::set<std::string_view> kHarmless = {
    "task_type",      "auto_mapping",    "revision",      "inference_mode", "peft_version",
    "bias",           "lora_dropout",    "loftq_config",  "eva_config",     "corda_config",
    "lora_ga_config", "megatron_config", "megatron_core", "runtime_config", "qalora_group_size",
};

bool is_off(const nlohmann::json& value) {
  return value.is_null() || value == false || value == 0 || value == "" ||
         (value.is_structured() && value.empty());
}

Pattern compile(ConfigReader& reader, const std::string& key, const std::string& text,
                const std::string& whole) {
  std::string why;
  std::optional<Pattern> pattern = Pattern::compile(whole, why);
  if (!pattern) {
    reader.unsupported(key, "holds the regular expression " + in_quotes(text) + ", which " + why +
                                "; name the modules instead");
  }
  return *std::move(pattern);
}

ModuleSelection read_selection(ConfigReader& reader, const std::string& key) {
  ModuleSelection selection;
  const nlohmann::json& value = reader.value(key);
  if (value.is_null()) return selection;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "all-linear") {
      selection.everything = true;
    } else if (!text.empty()) {
      selection.pattern = compile(reader, key, text, text);
    }
    return selection;
  }
  const bool names = value.is_array() && std::all_of(value.begin(), value.end(),
                                                     [](const auto& v) { return v.is_string(); });
  if (!names) reader.invalid(key, "must be a list of names or a regular expression");
  if (value.size() > kMaxPatterns) reader.invalid(key, "holds too many names");
  for (const auto& name : value) selection.names.push_back(name.get<std::string>());
  return selection;
}

// In the order of the file, which an ordinary JSON object forgets.
template <typename Value, typename Check>
void read_patterns(ConfigReader& reader, const nlohmann::ordered_json& root, const std::string& key,
                   std::vector<std::pair<Pattern, Value>>& patterns, const char* wanted,
                   Check check) {
  if (!reader.has(key)) return;
  if (!reader.value(key).is_object()) reader.invalid(key, "must be an object");
  const nlohmann::ordered_json& object = root.at(key);
  if (object.size() > kMaxPatterns) reader.invalid(key, "holds too many patterns");
  std::size_t states = 0;
  for (const auto& [pattern, value] : object.items()) {
    if (!check(value)) reader.invalid(key, std::string("must map names to ") + wanted);
    patterns.emplace_back(compile(reader, key, pattern, "(.*\\.)?(" + pattern + ")"),
                          value.template get<Value>());
    states += patterns.back().first.size();
    if (states > kMaxStates) {
      reader.unsupported(key,
                         "holds regular expressions that are too large together; name the "
                         "modules instead");
    }
  }
}

void read_layers(ConfigReader& reader, PeftConfig& config) {
  const nlohmann::json& value = reader.value("layers_to_transform");
  const nlohmann::json& pattern = reader.value("layers_pattern");
  if (!is_off(pattern) && pattern != "layers" && pattern != nlohmann::json::array({"layers"})) {
    reader.unsupported("layers_pattern", "is " + shown(pattern) + "; supported: \"layers\"");
  }
  const auto add = [&](const nlohmann::json& layer) {
    if (!layer.is_number_integer() || layer < 0 || layer > kMaxLayer) {
      reader.invalid("layers_to_transform", "must hold numbers of layers");
    }
    config.layers.push_back(layer.get<int>());
  };
  if (value.is_array()) {
    for (const auto& layer : value) add(layer);
  } else if (!value.is_null()) {
    add(value);
  }
}

// Some ways to begin a training also change the weights of the base model, when the adapter is
// loaded again, too.
void check_initialization(ConfigReader& reader) {
  const nlohmann::json& value = reader.value("init_lora_weights");
  if (value.is_null() || value.is_boolean()) return;
  for (const char* known : {"gaussian", "eva", "orthogonal", "default", "lora"}) {
    if (value == known) return;
  }
  reader.unsupported("init_lora_weights",
                     "is " + shown(value) +
                         ", which may have changed the base model; convert it to an ordinary LoRA "
                         "adapter (save_pretrained with path_initial_model_for_weight_conversion)");
}

void check_known(ConfigReader& reader, const nlohmann::json& root) {
  const std::string type = reader.text("peft_type");
  if (type != "LORA") {
    reader.unsupported("peft_type", "is " + in_quotes(type) + "; supported: \"LORA\"");
  }
  for (const auto& [key, why] : kFeatures) {
    if (!is_off(reader.value(key))) {
      reader.unsupported(key, "is " + shown(reader.value(key)) + ": " + why);
    }
  }
  check_initialization(reader);
  std::set<std::string_view> harmless = kHarmless;
  for (const auto& [key, value] : root.items()) {
    if (is_off(value)) harmless.insert(key);  // a feature of a later version, not used
  }
  reader.refuse_unknown(harmless);
}

// As PEFT: the whole name or, behind a dot, its end.
bool names_module(const std::string& name, std::string_view module) {
  if (name.size() > module.size() || name.empty()) return false;
  const std::size_t begin = module.size() - name.size();
  return module.substr(begin) == name && (begin == 0 || module[begin - 1] == '.');
}

template <typename Value>
Value first_match(const std::vector<std::pair<Pattern, Value>>& patterns, std::string_view module,
                  Value otherwise) {
  for (const auto& [pattern, value] : patterns) {
    if (pattern.matches(module)) return value;
  }
  return otherwise;
}

}  // namespace

bool ModuleSelection::contains(std::string_view module) const {
  if (everything) return true;
  if (pattern) return pattern->matches(module);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return names_module(name, module); });
}

bool PeftConfig::applies_to(std::string_view module, int layer) const {
  if (excluded.contains(module) || !targets.contains(module)) return false;
  // Layers are chosen among modules that a list names by their ends.
  const bool whole =
      std::find(targets.names.begin(), targets.names.end(), module) != targets.names.end();
  if (layers.empty() || targets.pattern || targets.everything || whole) return true;
  return std::find(layers.begin(), layers.end(), layer) != layers.end();
}

int PeftConfig::rank_of(std::string_view module) const {
  return first_match(rank_pattern, module, rank);
}

float PeftConfig::scale_of(std::string_view module) const {
  const double own = first_match(alpha_pattern, module, alpha);
  const double r = rank_of(module);
  return static_cast<float>(rslora ? own / std::sqrt(r) : own / r);
}

PeftConfig parse_peft_config(std::string_view text, const std::string& source) {
  const nlohmann::json root =
      parse_json(text, source, {kMaxBytes, 16}, ErrorCode::kCheckpointInvalid);
  if (!root.is_object()) {
    throw Error(ErrorCode::kCheckpointInvalid, source + ": must hold one JSON object", source);
  }
  const auto ordered = nlohmann::ordered_json::parse(text.begin(), text.end());
  ConfigReader reader(root, source, "", ErrorCode::kUnsupportedAdapter);
  PeftConfig config;
  config.rank = reader.integer("r", 1, kMaxRank);
  config.alpha = reader.number("lora_alpha");
  if (!std::isfinite(config.alpha)) reader.invalid("lora_alpha", "must be a finite number");
  config.rslora = reader.boolean_or("use_rslora", false);
  config.targets = read_selection(reader, "target_modules");
  if (config.targets.empty()) {
    reader.invalid("target_modules", "must name the modules that the adapter changes");
  }
  config.excluded = read_selection(reader, "exclude_modules");
  read_layers(reader, config);
  read_patterns(reader, ordered, "rank_pattern", config.rank_pattern, "ranks from 1 on",
                [](const auto& v) { return v.is_number_integer() && v >= 1 && v <= kMaxRank; });
  read_patterns(
      reader, ordered, "alpha_pattern", config.alpha_pattern, "finite numbers",
      [](const auto& v) { return v.is_number() && std::isfinite(v.template get<double>()); });
  if (reader.has("base_model_name_or_path")) {
    config.base_model = reader.text("base_model_name_or_path");
  }
  check_known(reader, root);
  return config;
}

}  // namespace sterna

#include "model/rope_config.h"

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/quoted.h"

namespace sterna {

namespace {

constexpr int kMaxOriginalContext = 1 << 24;
constexpr double kMostFactor = 1e6;

const std::map<std::string, RopeType> kTypes = {{"default", RopeType::kDefault},
                                                {"linear", RopeType::kLinear},
                                                {"llama3", RopeType::kLlama3},
                                                {"yarn", RopeType::kYarn},
                                                {"longrope", RopeType::kLongrope}};

void check_partial_rotary(ConfigReader& reader) {
  if (reader.has("partial_rotary_factor") && reader.number("partial_rotary_factor") != 1.0) {
    reader.unsupported("partial_rotary_factor", "must be 1: the whole head is rotated");
  }
}

// A number that must be at least `least`; `fallback` when there is none.
double bounded(ConfigReader& reader, const std::string& key, double least,
               std::optional<double> fallback = std::nullopt) {
  if (fallback.has_value() && !reader.has(key)) return *fallback;
  const double value = reader.number(key);
  if (!(value >= least && value <= kMostFactor)) {
    reader.invalid(key, "is " + shown(reader.value(key)) + ", must be at least " +
                            shown(nlohmann::json(least)) + " and at most 1e6");
  }
  return value;
}

std::vector<double> factors(ConfigReader& reader, const std::string& key, int count) {
  const nlohmann::json& list = reader.value(key);
  if (!list.is_array() || list.size() != static_cast<std::size_t>(count)) {
    reader.invalid(key, "must be a list of head_dim / 2 = " + std::to_string(count) + " numbers");
  }
  std::vector<double> values;
  for (const auto& value : list) {
    if (!value.is_number() || !(value.get<double>() > 0.0 && value.get<double>() <= kMostFactor)) {
      reader.invalid(key, "contains " + shown(value) + ", must be above 0 and at most 1e6");
    }
    values.push_back(value.get<double>());
  }
  return values;
}

// The magnitude that YaRN gives to rotated vectors (arXiv 2309.00071, section 3.4).
double yarn_magnitude(double factor, double weight) {
  return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

double yarn_attention_factor(ConfigReader& rope, double factor) {
  const double mscale = bounded(rope, "mscale", 0.0, 0.0);
  const double all = bounded(rope, "mscale_all_dim", 0.0, 0.0);
  if (mscale == 0.0 || all == 0.0) return yarn_magnitude(factor, 1.0);
  return yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all);
}

RopeType read_type(ConfigReader& rope) {
  std::string key = "rope_type";
  if (!rope.has(key)) key = "type";
  if (!rope.has(key)) return RopeType::kDefault;
  const std::string name = rope.text(key);
  const auto known = kTypes.find(name);
  if (known == kTypes.end()) {
    std::string why =
        "is " + in_quotes(name) + "; supported: default, linear, llama3, yarn, longrope";
    if (name == "dynamic") {
      why += " (dynamic changes every key as a text grows; linear and yarn are its nearest)";
    }
    rope.unsupported(key, why);
  }
  if (rope.has("type") && rope.has("rope_type") && rope.text("type") != name) {
    rope.invalid("type", "contradicts rope_type");
  }
  return known->second;
}

// `outer` is the config itself, in which some families keep the original context.
void read_scaling(ConfigReader& outer, ConfigReader& rope, ModelConfig& model) {
  RopeScaling scaling;
  scaling.type = read_type(rope);
  if (scaling.type == RopeType::kDefault) return;
  if (model.rope_scaling.type != RopeType::kDefault) {
    rope.invalid("rope_type", "stands beside another scaling in the same file");
  }
  const std::string original = "original_max_position_embeddings";
  ConfigReader& holder = outer.has(original) ? outer : rope;
  scaling.original_context = holder.has(original) ? holder.integer(original, 1, kMaxOriginalContext)
                                                  : model.context_length;
  if (rope.has(original)) rope.integer(original, 1, kMaxOriginalContext);
  const bool from_contexts =
      (scaling.type == RopeType::kYarn || scaling.type == RopeType::kLongrope) &&
      !rope.has("factor");
  scaling.factor = from_contexts
                       ? static_cast<double>(model.context_length) / scaling.original_context
                       : bounded(rope, "factor", scaling.type == RopeType::kLongrope ? 0.0 : 1.0);
  switch (scaling.type) {
    case RopeType::kLlama3:
      scaling.low_freq_factor = bounded(rope, "low_freq_factor", 1e-6);
      scaling.high_freq_factor = bounded(rope, "high_freq_factor", 1e-6);
      if (!(scaling.low_freq_factor < scaling.high_freq_factor)) {
        rope.invalid("high_freq_factor", "must be above low_freq_factor");
      }
      break;
    case RopeType::kYarn:
      // Zero means the default here, as in the reference library.
      scaling.beta_fast = bounded(rope, "beta_fast", 0.0, 32.0);
      scaling.beta_slow = bounded(rope, "beta_slow", 0.0, 1.0);
      if (scaling.beta_fast == 0.0) scaling.beta_fast = 32.0;
      if (scaling.beta_slow == 0.0) scaling.beta_slow = 1.0;
      if (scaling.beta_fast < scaling.beta_slow) {
        rope.invalid("beta_fast", "must not be below beta_slow");
      }
      scaling.truncate = rope.boolean_or("truncate", true);
      scaling.attention_factor = yarn_attention_factor(rope, scaling.factor);
      break;
    case RopeType::kLongrope:
      scaling.short_factors = factors(rope, "short_factor", model.head_dim / 2);
      scaling.long_factors = factors(rope, "long_factor", model.head_dim / 2);
      if (scaling.factor > 1.0) {
        if (scaling.original_context < 2) rope.invalid(original, "must be at least 2");
        scaling.attention_factor =
            std::sqrt(1.0 + std::log(scaling.factor) /
                                std::log(static_cast<double>(scaling.original_context)));
      }
      break;
    default:
      break;
  }
  if (scaling.type == RopeType::kYarn || scaling.type == RopeType::kLongrope) {
    scaling.attention_factor = bounded(rope, "attention_factor", 0.0, scaling.attention_factor);
  }
  model.rope_scaling = std::move(scaling);
}

}  // namespace

void read_rope(ConfigReader& reader, ModelConfig& model) {
  bool found = false;
  if (reader.has("rope_theta")) {
    model.rope_theta = reader.number("rope_theta");
    found = true;
  }
  check_partial_rotary(reader);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!reader.has(key)) continue;
    ConfigReader rope = reader.object(key);
    check_partial_rotary(rope);
    if (rope.has("rope_theta")) {
      const double theta = rope.number("rope_theta");
      if (found && theta != model.rope_theta) {
        rope.invalid("rope_theta", "contradicts another rope_theta in the same file");
      }
      model.rope_theta = theta;
      found = true;
    }
    read_scaling(reader, rope, model);
    rope.refuse_unknown({});
  }
  reader.value("original_max_position_embeddings");  // known, also where nothing is scaled
  if (!found) reader.invalid("rope_theta", "is missing");
  if (!(model.rope_theta > 1.0 && model.rope_theta <= 1e12)) {
    reader.invalid("rope_theta", "must be above 1 and at most 1e12");
  }
  if (reader.boolean_or("rope_interleaved", false)) {
    reader.unsupported("rope_interleaved", "must be false: heads are rotated by halves");
  }
}

nlohmann::json rope_scaling_to_json(const RopeScaling& scaling) {
  nlohmann::json rope;
  for (const auto& [name, type] : kTypes) {
    if (type == scaling.type) rope["rope_type"] = name;
  }
  rope["factor"] = scaling.factor;
  rope["original_max_position_embeddings"] = scaling.original_context;
  switch (scaling.type) {
    case RopeType::kLlama3:
      rope["low_freq_factor"] = scaling.low_freq_factor;
      rope["high_freq_factor"] = scaling.high_freq_factor;
      break;
    case RopeType::kYarn:
      rope["beta_fast"] = scaling.beta_fast;
      rope["beta_slow"] = scaling.beta_slow;
      rope["truncate"] = scaling.truncate;
      rope["attention_factor"] = scaling.attention_factor;
      break;
    case RopeType::kLongrope:
      rope["short_factor"] = scaling.short_factors;
      rope["long_factor"] = scaling.long_factors;
      rope["attention_factor"] = scaling.attention_factor;
      break;
    default:
      break;
  }
  return rope;
}

}  // namespace sterna

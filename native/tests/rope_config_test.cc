// How rotary embeddings are scaled: what is read, with which defaults, and what is refused.
#include <cmath>

#include "check.h"
#include "config_support.h"
#include "ops/rotary.h"

namespace sterna::test {
namespace {

json scaled(const json& scaling) { return with(bitnet_config(), "rope_scaling", scaling); }

RopeScaling read(const json& scaling) { return parse(scaled(scaling)).model.rope_scaling; }

void refused(const json& scaling, const std::string& key, const std::string& needle,
             ErrorCode code = ErrorCode::kCheckpointInvalid) {
  check_refused(scaled(scaling), code, "rope_scaling." + key, needle);
}

json longrope() {
  return {{"rope_type", "longrope"},
          {"short_factor", std::vector<double>(64, 1.5)},
          {"long_factor", std::vector<double>(64, 3.0)},
          {"original_max_position_embeddings", 1024}};
}

TEST(unknown_types_are_refused_by_name) {
  refused({{"type", "su"}, {"factor", 2.0}}, "type", "\"su\"", ErrorCode::kUnsupportedModel);
  refused({{"rope_type", "dynamic"}, {"factor", 2.0}}, "rope_type", "yarn",
          ErrorCode::kUnsupportedModel);
  refused({{"rope_type", "linear"}, {"type", "yarn"}, {"factor", 2.0}}, "type", "contradicts");
  refused({{"rope_type", "linear"}, {"factor", 2.0}, {"surprise", 1}}, "surprise", "not a key",
          ErrorCode::kUnsupportedModel);
}

TEST(linear_and_llama3) {
  CHECK(read({{"type", "linear"}, {"factor", 4.0}}).type == RopeType::kLinear);
  refused({{"type", "linear"}}, "factor", "is missing");
  refused({{"type", "linear"}, {"factor", 0.5}}, "factor", "at least 1");
  const json llama = {{"rope_type", "llama3"},
                      {"factor", 8.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 2048}};
  CHECK_EQ(read(llama).original_context, 2048);
  CHECK_EQ(read(llama).attention_factor, 1.0);
  refused(with(llama, "high_freq_factor", 1.0), "high_freq_factor", "above low_freq_factor");
  refused(with(llama, "low_freq_factor", nullptr), "low_freq_factor", "is missing");
  refused(with(llama, "original_max_position_embeddings", 0), "original_max_position_embeddings",
          "at least 1");
}

TEST(yarn_takes_its_defaults_from_the_paper) {
  const json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}};
  const RopeScaling plain = read(yarn);
  CHECK_EQ(plain.original_context, 4096);  // max_position_embeddings
  CHECK_EQ(plain.beta_fast, 32.0);
  CHECK_EQ(plain.beta_slow, 1.0);
  CHECK(plain.truncate);
  CHECK(std::fabs(plain.attention_factor - (0.1 * std::log(4.0) + 1.0)) < 1e-12);
  CHECK_EQ(read(with(yarn, "attention_factor", 1.25)).attention_factor, 1.25);
  json scales = with(with(yarn, "mscale", 1.0), "mscale_all_dim", 1.0);
  CHECK_EQ(read(scales).attention_factor, 1.0);
  // Without a factor, it is that of the two contexts.
  const json contexts = {{"rope_type", "yarn"}, {"original_max_position_embeddings", 1024}};
  CHECK_EQ(read(contexts).factor, 4.0);
  refused(with(yarn, "beta_fast", 0.5), "beta_fast", "below beta_slow");
  refused(with(yarn, "truncate", 1), "truncate", "true or false");
}

TEST(longrope_has_a_factor_for_every_dimension) {
  const RopeScaling read_back = read(longrope());
  CHECK_EQ(read_back.long_factors.size(), 64u);
  CHECK_EQ(read_back.factor, 4.0);
  CHECK(std::fabs(read_back.attention_factor - std::sqrt(1 + std::log(4.0) / std::log(1024.0))) <
        1e-12);
  refused(with(longrope(), "long_factor", {1.0}), "long_factor", "64 numbers");
  refused(with(longrope(), "short_factor", nullptr), "short_factor", "64 numbers");
  refused(with(longrope(), "long_factor", std::vector<double>(64, 0.0)), "long_factor", "above 0");
  // Some families keep the context beside the scaling.
  json outer = with(scaled(longrope()), "original_max_position_embeddings", 2048);
  CHECK_EQ(parse(outer).model.rope_scaling.original_context, 2048);
}

TEST(only_longrope_tells_long_texts_apart) {
  const RotaryEmbedding rotary(parse(scaled(longrope())).model);
  CHECK_EQ(rotary.frequencies(false)[0], 1.0f / 1.5f);
  CHECK_EQ(rotary.frequencies(true)[0], 1.0f / 3.0f);
  const RotaryEmbedding plain(parse(bitnet_config()).model);
  CHECK_EQ(plain.frequencies(false)[0], 1.0f);
  CHECK(plain.frequencies(true) == plain.frequencies(false));
  std::vector<float> cos(64), sin(64);
  rotary.angles(0, false, cos.data(), sin.data());
  CHECK_EQ(cos[5], static_cast<float>(read(longrope()).attention_factor));
  CHECK_EQ(sin[5], 0.0f);
}

TEST(scalings_survive_the_bundle) {
  const json scalings[] = {
      {{"type", "linear"}, {"factor", 4.0}},
      {{"type", "yarn"}, {"factor", 4.0}, {"beta_fast", 16}, {"truncate", false}},
      {{"type", "llama3"},
       {"factor", 8.0},
       {"low_freq_factor", 1.0},
       {"high_freq_factor", 4.0},
       {"original_max_position_embeddings", 512}},
      longrope()};
  for (const json& scaling : scalings) {
    const ModelConfig before = parse(scaled(scaling)).model;
    const std::string text = config_to_json(before);
    const ModelConfig after = config_from_json(text, "bundle");
    CHECK_EQ(config_to_json(after), text);
    const RotaryEmbedding rotary(before);
    const RotaryEmbedding again(after);
    CHECK(rotary.frequencies(true) == again.frequencies(true));
    CHECK(rotary.frequencies(false) == again.frequencies(false));
    CHECK_EQ(after.rope_scaling.attention_factor, before.rope_scaling.attention_factor);
  }
}

}  // namespace
}  // namespace sterna::test

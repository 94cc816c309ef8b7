// Choosing among candidates is choosing among all tokens.
#include "runtime/candidates.h"

#include <functional>
#include <limits>

#include "head_support.h"
#include "runtime/bounded_choice.h"

namespace sterna {
namespace {

using namespace test;

TinyShape shape_of(int vocab, bool hard) {
  TinyShape shape;
  shape.vocab = vocab;
  shape.hidden = 64;
  shape.layers = 1;
  shape.hard_head = hard;
  return shape;
}

struct Tally {
  int screened = 0;
  int fell_back = 0;
  std::size_t candidates = 0;
};

// One choice both ways. The screening may decline, but not err.
void check_choice(HeadPair& heads, const std::vector<float>& state, const Sampler& sampler,
                  const std::vector<TokenId>& forbidden, const std::vector<std::uint32_t>* allowed,
                  int index, Tally& tally) {
  const ChoiceRules rules{sampler, forbidden, allowed};
  std::vector<float> approximate(heads.vocab);
  const auto screened = heads.split->screen({state.data()}, approximate.data());
  const ScoreTokens score = [&](std::span<const TokenId> tokens, float* logits) {
    tally.candidates += tokens.size();
    heads.split->exact(state.data(), tokens, logits);
  };
  const std::vector<float> logits = heads.exact_logits(state);
  std::vector<float> scratch;
  const TokenId expected =
      sampler.sample(logits.data(), heads.vocab, index, forbidden, allowed, scratch);
  if (may_choose_within_bounds(rules)) {
    const auto token = choose_within_bounds(screened[0], rules, index, score);
    ++(token ? tally.screened : tally.fell_back);
    if (token) CHECK_EQ(*token, expected);
    return;
  }
  if (!may_screen(rules)) {
    ++tally.fell_back;
    return;
  }
  std::vector<ScoredToken> candidates = find_candidates(screened[0], rules, score);
  if (candidates.empty()) {
    ++tally.fell_back;
    return;
  }
  ++tally.screened;
  CHECK_EQ(sampler.sample_among(candidates, index, forbidden, allowed), expected);
}

using Configure = std::function<void(SamplingParams&)>;

// Many states, with and without forbidden tokens and masks of several densities.
Tally check_settings(const Configure& configure, int states = 60, int vocab = 1500) {
  Tally tally;
  for (const bool hard : {false, true}) {
    HeadPair heads(shape_of(vocab, hard));
    for (int seed = 0; seed < states; ++seed) {
      const std::vector<float> state = some_state(heads, seed);
      std::mt19937 random(seed);
      SamplingParams params;
      params.temperature = 0.0f;
      params.seed = seed;
      configure(params);
      std::vector<TokenId> prompt;
      for (int i = 0; i < 20; ++i) prompt.push_back(static_cast<TokenId>(random() % vocab));
      Sampler sampler(params, prompt);
      for (int i = 0; i < 5; ++i) sampler.accept(static_cast<TokenId>(random() % vocab));
      const std::vector<float> logits = heads.exact_logits(state);
      const TokenId best = argmax(logits.data(), vocab);
      if (seed % 3 == 0) sampler.accept(best);
      std::vector<TokenId> forbidden;
      if (seed % 4 == 1) forbidden = {best, -1, vocab, best, 3};
      std::vector<std::uint32_t> mask((vocab + 31) / 32, 0);
      for (int token = 0; token < vocab; ++token) {
        const bool bit = seed % 6 == 5 ? token % 50 == 1 : random() % 4 != 0;
        if (bit) mask[token / 32] |= 1u << token % 32;
      }
      const bool masked = seed % 3 == 2;
      for (int index = 0; index < 3; ++index) {
        check_choice(heads, state, sampler, forbidden, masked ? &mask : nullptr, index, tally);
      }
    }
  }
  return tally;
}

TEST(greedy) {
  const Tally tally = check_settings([](SamplingParams&) {}, 300);
  CHECK_EQ(tally.fell_back, 0);
  CHECK(tally.candidates < static_cast<std::size_t>(tally.screened) * 400);
}

TEST(greedy_with_penalties_and_bias) {
  check_settings([](SamplingParams& p) { p.repetition_penalty = 1.3f; });
  check_settings([](SamplingParams& p) {
    p.frequency_penalty = 0.7f;
    p.presence_penalty = -2.0f;
  });
  check_settings([](SamplingParams& p) {
    p.logit_bias = {{7, 50.0f}, {9, -100.0f}, {11, -std::numeric_limits<float>::infinity()}};
  });
  check_settings([](SamplingParams& p) { p.logit_bias = {{3, 5.0f}, {3, 5.0f}, {1, 9.0f}}; });
}

TEST(top_k) {
  for (const int k : {1, 2, 5, 40, 200}) {
    for (const float temperature : {0.01f, 0.7f, 1.0f, 3.0f, 100.0f}) {
      const Tally tally = check_settings(
          [=](SamplingParams& p) {
            p.temperature = temperature;
            p.top_k = k;
          },
          12);
      CHECK(tally.screened > 0);
    }
  }
}

TEST(top_k_with_everything_else) {
  check_settings([](SamplingParams& p) {
    p.temperature = 0.8f;
    p.top_k = 20;
    p.top_p = 0.9f;
    p.min_p = 0.02f;
    p.repetition_penalty = 1.1f;
    p.logit_bias = {{5, 3.0f}};
  });
  check_settings([](SamplingParams& p) {
    p.temperature = 1.2f;
    p.top_k = 3;
    p.min_p = 0.9f;
  });
}

TEST(min_p) {
  for (const float min_p : {0.001f, 0.05f, 0.5f, 1.0f}) {
    check_settings(
        [=](SamplingParams& p) {
          p.temperature = 0.9f;
          p.min_p = min_p;
        },
        30);
    check_settings(
        [=](SamplingParams& p) {
          p.temperature = 2.0f;
          p.min_p = min_p;
          p.top_p = 0.8f;
          p.presence_penalty = 0.5f;
        },
        30);
  }
}

TEST(the_whole_distribution) {
  for (const float temperature : {0.2f, 0.7f, 1.0f, 5.0f}) {
    for (const float top_p : {1.0f, 0.95f, 0.5f, 0.001f}) {
      const Tally tally = check_settings(
          [=](SamplingParams& p) {
            p.temperature = temperature;
            p.top_p = top_p;
          },
          48);
      if (temperature < 3.0f) CHECK(tally.screened > tally.fell_back / 4);
    }
  }
  check_settings(
      [](SamplingParams& p) {
        p.temperature = 0.8f;
        p.top_p = 0.9f;
        p.repetition_penalty = 1.5f;
        p.presence_penalty = 3.0f;
        p.logit_bias = {{3, -std::numeric_limits<float>::infinity()}, {4, 30.0f}, {5, -40.0f}};
      },
      60);
}

// A whole vocabulary of equal rows: everything ties, and there are too many to score.
TEST(a_tie_of_all_is_declined_or_right) {
  TinyShape shape = shape_of(6000, true);
  HeadPair heads(shape);
  std::vector<float> state(64, 0.0f);
  state[5] = 1e-10f;  // all bounds are alike
  SamplingParams params;
  params.temperature = 0.0f;
  Tally tally;
  check_choice(heads, state, Sampler(params, {}), {}, nullptr, 0, tally);
  params.temperature = 1.0f;
  params.top_k = 50;
  check_choice(heads, state, Sampler(params, {}), {}, nullptr, 0, tally);
  CHECK_EQ(tally.screened + tally.fell_back, 2);
}

}  // namespace
}  // namespace sterna

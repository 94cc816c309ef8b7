#include "runtime/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "check.h"
#include "runtime/philox.h"

using sterna::argmax;
using sterna::LogProbabilities;
using sterna::Sampler;
using sterna::SamplingParams;
using sterna::TokenId;

namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f, 0.5f};
constexpr int kVocab = 6;

TokenId sample(const SamplingParams& params, int index = 0,
               const std::vector<TokenId>& forbidden = {},
               const std::vector<float>& logits = kLogits) {
  std::vector<float> scratch;
  return Sampler(params, {}).sample(logits.data(), kVocab, index, forbidden, nullptr, scratch);
}

std::map<TokenId, int> histogram(const SamplingParams& params, int draws = 4000) {
  std::map<TokenId, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sample(params, i)];
  return counts;
}

}  // namespace

// Known answers published with the authors' Random123 library.
TEST(philox_known_answers) {
  using Words = std::array<std::uint32_t, 4>;
  CHECK((sterna::philox4x32({0, 0, 0, 0}, {0, 0}) ==
         Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  CHECK((sterna::philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
         Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((sterna::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                            {0xa4093822, 0x299f31d0}) ==
         Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(uniform_is_uniform) {
  double sum = 0.0, squares = 0.0;
  for (int i = 0; i < 20000; ++i) {
    const double u = sterna::uniform(7, i);
    CHECK(u >= 0.0 && u < 1.0);
    sum += u;
    squares += u * u;
  }
  CHECK(std::abs(sum / 20000 - 0.5) < 0.01);
  CHECK(std::abs(squares / 20000 - 1.0 / 3) < 0.01);
}

TEST(greedy_takes_the_lowest_id_of_a_tie) {
  SamplingParams params;
  params.temperature = 0.0f;
  CHECK_EQ(sample(params), 1);
  CHECK_EQ(sample(params, 0, {1}), 3);
}

TEST(nan_never_wins) {
  std::vector<float> logits = kLogits;
  logits[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_EQ(argmax(logits.data(), kVocab), 1);
  SamplingParams params;
  for (int i = 0; i < 100; ++i) CHECK(sample(params, i, {}, logits) != 0);
}

TEST(a_mask_holds_where_biases_leave_nothing) {
  const std::vector<std::uint32_t> allowed = {0b101000};  // tokens 3 and 5
  SamplingParams params;
  for (const TokenId token : {3, 5}) {
    params.logit_bias.emplace_back(token, -std::numeric_limits<float>::infinity());
  }
  for (const float temperature : {0.0f, 1.0f}) {
    params.temperature = temperature;
    const Sampler sampler(params, {});
    std::vector<float> scratch;
    CHECK_EQ(sampler.sample(kLogits.data(), kVocab, 0, {}, &allowed, scratch), 3);
    std::vector<sterna::ScoredToken> few = {{3, kLogits[3]}, {5, kLogits[5]}};
    CHECK_EQ(sampler.sample_among(few, 0, {}, &allowed), 3);
  }
}

TEST(the_same_seed_and_position_give_the_same_token) {
  SamplingParams params;
  params.seed = 1234;
  for (int i = 0; i < 50; ++i) CHECK_EQ(sample(params, i), sample(params, i));
  SamplingParams other = params;
  other.seed = 1235;
  int different = 0;
  for (int i = 0; i < 50; ++i) different += sample(params, i) != sample(other, i);
  CHECK(different > 5);
}

TEST(frequencies_follow_the_softmax) {
  SamplingParams params;
  params.temperature = 0.8f;
  auto counts = histogram(params, 20000);
  double total = 0.0;
  for (const float logit : kLogits) total += std::exp(logit / 0.8);
  for (int token = 0; token < kVocab; ++token) {
    const double expected = std::exp(kLogits[token] / 0.8) / total;
    CHECK(std::abs(counts[token] / 20000.0 - expected) < 0.012);
  }
}

TEST(top_k_keeps_the_k_most_likely) {
  SamplingParams params;
  params.top_k = 3;
  const auto counts = histogram(params);
  CHECK_EQ(counts.size(), std::size_t{3});
  CHECK(counts.count(1) && counts.count(2) && counts.count(3));
  params.top_k = 1;  // a tie: the lower id
  CHECK_EQ(histogram(params).begin()->first, 1);
}

TEST(top_p_keeps_the_smallest_nucleus) {
  SamplingParams params;
  params.top_p = 0.5f;  // tokens 1 and 3 hold 0.39 each
  auto counts = histogram(params);
  CHECK_EQ(counts.size(), std::size_t{2});
  CHECK(counts.count(1) && counts.count(3));
  params.top_p = 1e-6f;
  CHECK_EQ(histogram(params).size(), std::size_t{1});
}

TEST(top_p_over_a_large_flat_vocabulary) {
  const int vocab = 5000;
  const std::vector<float> flat(vocab, 0.25f);
  SamplingParams params;
  params.top_p = 0.5f;
  std::vector<float> scratch;
  TokenId highest = 0;
  for (int i = 0; i < 2000; ++i) {
    const TokenId token = Sampler(params, {}).sample(flat.data(), vocab, i, {}, nullptr, scratch);
    highest = std::max(highest, token);
  }
  CHECK(highest < 2501);
  CHECK(highest > 2300);
}

TEST(min_p_is_relative_to_the_best) {
  SamplingParams params;
  params.min_p = 0.3f;  // e^-1 = 0.37 stays, e^-2 goes
  const auto counts = histogram(params);
  CHECK_EQ(counts.size(), std::size_t{3});
  CHECK(counts.count(2));
}

TEST(penalties_count_what_they_should) {
  SamplingParams params;
  params.temperature = 0.0f;
  std::vector<float> scratch;
  // Repetition counts the prompt: 3 / 2 < 2.
  params.repetition_penalty = 2.0f;
  CHECK_EQ(Sampler(params, {1, 3}).sample(kLogits.data(), kVocab, 0, {}, nullptr, scratch), 2);
  // Presence counts the output only.
  params.repetition_penalty = 1.0f;
  params.presence_penalty = 1.5f;
  Sampler presence(params, {1, 3});
  CHECK_EQ(presence.sample(kLogits.data(), kVocab, 0, {}, nullptr, scratch), 1);
  presence.accept(1);
  CHECK_EQ(presence.sample(kLogits.data(), kVocab, 1, {}, nullptr, scratch), 3);
  presence.accept(3);
  CHECK_EQ(presence.sample(kLogits.data(), kVocab, 2, {}, nullptr, scratch), 2);
  // Frequency grows with the count.
  params.presence_penalty = 0.0f;
  params.frequency_penalty = 0.4f;
  Sampler frequency(params, {});
  for (int i = 0; i < 3; ++i) frequency.accept(1);
  for (int i = 0; i < 2; ++i) frequency.accept(3);
  CHECK_EQ(frequency.sample(kLogits.data(), kVocab, 5, {}, nullptr, scratch),
           3);  // 3 - 0.8 against 3 - 1.2
}

TEST(negative_logits_are_penalized_away_from_zero) {
  SamplingParams params;
  params.temperature = 0.0f;
  params.repetition_penalty = 1.5f;
  std::vector<float> scratch;
  const std::vector<float> logits = {-1.0f, -1.2f, -9.0f, -9.0f, -9.0f, -9.0f};
  CHECK_EQ(Sampler(params, {0}).sample(logits.data(), kVocab, 0, {}, nullptr, scratch), 1);
}

TEST(logit_bias_comes_before_everything) {
  SamplingParams params;
  params.temperature = 0.0f;
  params.logit_bias = {{4, 100.0f}};
  CHECK_EQ(sample(params), 4);
  params.logit_bias = {{1, -100.0f}, {3, -std::numeric_limits<float>::infinity()}};
  CHECK_EQ(sample(params), 2);
}

TEST(forbidden_tokens_are_not_drawn) {
  SamplingParams params;
  for (int i = 0; i < 200; ++i) {
    const TokenId token = sample(params, i, {1, 3, 2});
    CHECK(token == 0 || token == 4 || token == 5);
  }
}

TEST(logprobs_are_those_of_the_raw_logits) {
  const LogProbabilities logprobs(kLogits.data(), kVocab);
  double total = 0.0;
  for (int token = 0; token < kVocab; ++token) total += std::exp(logprobs.of(token));
  CHECK(std::abs(total - 1.0) < 1e-6);
  const auto top = logprobs.top(4);
  CHECK_EQ(top.size(), std::size_t{4});
  CHECK_EQ(top[0].token, 1);
  CHECK_EQ(top[1].token, 3);
  CHECK_EQ(top[2].token, 2);
  CHECK_EQ(top[3].token, 0);
  CHECK_EQ(logprobs.top(100).size(), std::size_t{kVocab});
}

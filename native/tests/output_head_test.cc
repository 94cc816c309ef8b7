// The head in halves: the same logits, and bounds that hold.
#include <cmath>
#include <limits>

#include "head_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TinyShape shape_of(int vocab, int hidden, bool hard) {
  TinyShape shape;
  shape.vocab = vocab;
  shape.hidden = hidden;
  shape.heads = 2;  // of a width that is a multiple of 4
  shape.kv_heads = 1;
  shape.layers = 1;
  shape.hard_head = hard;
  return shape;
}

TEST(halves_give_the_same_logits) {
  for (const bool hard : {false, true}) {
    HeadPair heads(shape_of(389, 104, hard));
    for (const int count : {1, 2, 3, 8}) {
      std::vector<std::vector<float>> states;
      std::vector<const float*> pointers;
      for (int i = 0; i < count; ++i) states.push_back(some_state(heads, 50 * count + i));
      for (const auto& state : states) pointers.push_back(state.data());
      std::vector<float> expected(static_cast<std::size_t>(count) * heads.vocab);
      std::vector<float> actual(expected.size());
      heads.plain->logits(pointers, expected.data());
      heads.split->logits(pointers, actual.data());
      check_same_bits(expected.data(), actual.data(), expected.size(), "logits");
    }
  }
}

TEST(halves_give_the_same_embeddings) {
  HeadPair heads(shape_of(96, 72, true));
  std::vector<float> expected(72);
  std::vector<float> actual(72);
  for (int token = 0; token < 96; ++token) {
    heads.plain_model->embed(token, select_kernels(), expected.data());
    heads.split_model->embed(token, select_kernels(), actual.data());
    for (int i = 0; i < 72; ++i) CHECK_EQ(bits_of(expected[i]), bits_of(actual[i]));
  }
}

TEST(single_rows_are_the_same_bits) {
  HeadPair heads(shape_of(301, 136, true));
  const std::vector<float> state = some_state(heads, 3);
  const std::vector<float> expected = heads.exact_logits(state);
  std::vector<TokenId> tokens;
  for (TokenId token = 300; token >= 0; token -= 7) tokens.push_back(token);
  std::vector<float> actual(tokens.size());
  heads.split->exact(state.data(), tokens, actual.data());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    CHECK_EQ(bits_of(actual[i]), bits_of(expected[tokens[i]]));
  }
}

// Every bound, in every table; and the approximation itself is the same in all.
TEST(bounds_hold) {
  double largest_share = 0.0;
  for (const bool hard : {false, true}) {
    std::vector<float> first_approximation;
    for (const Kernels* kernels : available_kernels()) {
      HeadPair heads(shape_of(450, 216, hard), *kernels);
      std::vector<float> approximate(2 * heads.vocab);
      for (unsigned seed = 0; seed < 60; seed += 2) {
        const std::vector<float> states[2] = {some_state(heads, seed), some_state(heads, seed + 1)};
        const auto screened =
            heads.split->screen({states[0].data(), states[1].data()}, approximate.data());
        if (seed == 0 && first_approximation.empty()) first_approximation = approximate;
        if (seed == 0) CHECK(approximate == first_approximation);
        for (int i = 0; i < 2; ++i) {
          const std::vector<float> exact = heads.exact_logits(states[i]);
          for (int token = 0; token < heads.vocab; ++token) {
            const double off =
                std::fabs(static_cast<double>(exact[token]) - screened[i].approximate[token]);
            CHECK(off <= screened[i].error(token));
            CHECK(screened[i].lower(token) <= exact[token]);
            CHECK(screened[i].upper(token) >= exact[token]);
            const int block = token / kScreenBlock;
            CHECK(screened[i].block_lower[block] >= screened[i].lower(token));
            CHECK(screened[i].block_upper[block] >= screened[i].upper(token));
            largest_share = std::max(largest_share, off / screened[i].error(token));
          }
        }
      }
    }
  }
  // The bounds are not idle: some row comes within a few times.
  CHECK(largest_share > 0.1);
}

TEST(states_without_bounds_are_told) {
  HeadPair heads(shape_of(96, 64, false));
  std::vector<float> state(64, 1.0f);
  CHECK(heads.split->can_screen(state.data()));
  CHECK(!heads.plain->can_screen(state.data()));
  for (const float value : {kNan, kInfinity, -kInfinity, 1e35f}) {
    state.assign(64, 1.0f);
    state[63] = value;
    CHECK(!heads.split->can_screen(state.data()));
  }
  state.assign(64, 0.0f);
  CHECK(!heads.split->can_screen(state.data()));
  state.assign(64, 1e-30f);
  CHECK(!heads.split->can_screen(state.data()));
}

}  // namespace
}  // namespace sterna

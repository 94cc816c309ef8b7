// From logits to a token, in the order: logit bias, penalties, temperature, min-p, top-k, top-p.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "sterna/event.h"
#include "sterna/request.h"

namespace sterna {

// A token and its logit.
struct ScoredToken {
  TokenId token;
  float logit;
};

// The one order of candidates, total even among equal logits.
inline bool more_likely(const ScoredToken& a, const ScoredToken& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// One sequence's choice of tokens. Depends only on the logits, the parameters, the tokens so far
// and the seed. Copyable: a copy continues like the original until `set_seed`.
class Sampler {
 public:
  Sampler(const SamplingParams& params, const std::vector<TokenId>& prompt);

  void set_seed(std::uint64_t seed) { params_.seed = seed; }

  // Chooses the token at output position `index`. `logits` are left as they are. Only tokens whose
  // bit is set in `allowed` (when not null) are chosen, even where biases leave none of them;
  // tokens in `forbidden` only when there is no other. `scratch` is working memory.
  TokenId sample(const float* logits, int vocab_size, int index,
                 const std::vector<TokenId>& forbidden, const std::vector<std::uint32_t>* allowed,
                 std::vector<float>& scratch) const;

  // As `sample`, from the logits of some tokens, ascending: the same token, if those are among them
  // that candidates.h names. `tokens` is working memory, too.
  TokenId sample_among(std::vector<ScoredToken>& tokens, int index,
                       const std::vector<TokenId>& forbidden,
                       const std::vector<std::uint32_t>* allowed) const;
  // What the choice is made by: the largest of the logits of `tokens` behind bias, penalties, masks
  // and temperature.
  float highest_among(std::vector<ScoredToken> tokens, const std::vector<TokenId>& forbidden,
                      const std::vector<std::uint32_t>* allowed) const;

  // Everything that changes single logits, in the order and the arithmetic of `sample`: bias,
  // penalties, masks, temperature. `tokens` ascend.
  void prepare(std::vector<ScoredToken>& tokens, const std::vector<TokenId>& forbidden,
               const std::vector<std::uint32_t>* allowed) const;

  const SamplingParams& params() const { return params_; }
  bool greedy() const;
  // What min-p asks of the others when the largest is `highest`.
  float floor_below(float highest) const;
  // Appends the tokens whose logits a bias or a penalty changes.
  void list_adjusted(std::vector<TokenId>& tokens) const;

  // Counts a token of the output.
  void accept(TokenId token);

 private:
  template <typename Find>
  void adjust(Find find) const;
  TokenId draw(const float* logits, int vocab_size, TokenId otherwise, double random) const;
  TokenId pick(std::vector<ScoredToken>& candidates, float highest, double random) const;

  SamplingParams params_;
  bool counts_needed_ = false;
  std::unordered_set<TokenId> seen_;  // prompt and output; for the repetition penalty
  std::unordered_map<TokenId, int> output_count_;
};

// The index of the largest logit, the lowest on a tie; NaN never wins. `otherwise` where none is
// above minus infinity.
TokenId argmax(const float* logits, int vocab_size, TokenId otherwise = 0);

// Log-probabilities of single tokens and of the most likely ones, from the raw logits.
class LogProbabilities {
 public:
  LogProbabilities(const float* logits, int vocab_size);
  float of(TokenId token) const;
  std::vector<TokenLogprob> top(int count) const;  // most likely first, lowest id on a tie

 private:
  const float* logits_;
  int vocab_size_;
  double log_sum_;
};

}  // namespace sterna

// Which tokens must be scored exactly so that a choice is the one that all exact logits would give.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/output_head.h"
#include "runtime/sampler.h"

namespace sterna {

// Exact logits of some tokens, in their order.
using ScoreTokens = std::function<void(std::span<const TokenId> tokens, float* logits)>;

// What one choice depends on beside the logits.
struct ChoiceRules {
  const Sampler& sampler;
  const std::vector<TokenId>& forbidden;
  const std::vector<std::uint32_t>* allowed;  // null: every token
};

// Whether candidates may suffice. Otherwise the sampler looks at the whole distribution.
bool may_screen(const ChoiceRules& rules);

// The tokens, ascending and exactly scored, with which Sampler::sample_among chooses what
// Sampler::sample chooses from all logits:
// - all that a bias, a penalty or `forbidden` touches: their logits do not keep the screening's
//   order;
// - of the others: for greedy choice all that can be the largest, for top-k with k those that can
// be
//   among the k + 1 largest (the last one tells whether there are more than k at all), for min-p
//   those that can reach the floor under the largest;
// - under a mask that leaves few tokens, simply these.
// Empty when there would be too many to pay: then all logits are to be computed.
std::vector<ScoredToken> find_candidates(const ScreenedLogits& screened, const ChoiceRules& rules,
                                         const ScoreTokens& score);

// What the logit of some token reaches that nothing touches.
float best_bound(const ScreenedLogits& screened, const ChoiceRules& rules);

// The tokens whose logits can reach `threshold`, and all that are touched, likewise; empty when
// they are too many.
std::vector<ScoredToken> candidates_above(const ScreenedLogits& screened, const ChoiceRules& rules,
                                          float threshold, const ScoreTokens& score);

}  // namespace sterna

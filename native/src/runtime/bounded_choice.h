// Sampling from the whole distribution, or from its nucleus, when only bounds of most logits are
// known.
#pragma once

#include <optional>

#include "runtime/candidates.h"

namespace sterna {

// Whether choose_within_bounds may be asked: sampling with neither top-k nor min-p, without a mask.
bool may_choose_within_bounds(const ChoiceRules& rules);

// The token that Sampler::sample chooses at output position `index` from all exact logits, where
// the bounds prove which one that is; nothing where they leave it open.
//
// Likely tokens are scored exactly; of the others the bounds give an interval for the weight
// exp(logit / temperature - largest). So the sums that the sampler compares with are known within
// an interval, too. A nucleus is certain when the mass of its tokens reaches the least that can be
// asked, and one token fewer does not reach the most; without top-p, a token is certain when the
// random number falls into its share of the mass, whatever the others' weights are within their
// intervals. Everything that decides then is computed from exact logits as the sampler does it.
std::optional<TokenId> choose_within_bounds(const ScreenedLogits& screened,
                                            const ChoiceRules& rules, int index,
                                            const ScoreTokens& score);

}  // namespace sterna

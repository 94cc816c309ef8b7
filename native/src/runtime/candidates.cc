#include "runtime/candidates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

namespace sterna {

namespace {

// Rows that are scored one by one, at most: about as dear as a tenth of a large head.
constexpr std::size_t kMostCandidates = 4096;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

int count_allowed(const std::vector<std::uint32_t>& allowed) {
  int count = 0;
  for (const std::uint32_t word : allowed) count += std::popcount(word);
  return count;
}

bool few_allowed(const std::vector<std::uint32_t>* allowed) {
  return allowed != nullptr && count_allowed(*allowed) <= static_cast<int>(kMostCandidates);
}

// How many of the largest logits a choice depends on, beside those of touched tokens.
int tokens_needed(const SamplingParams& params) { return params.top_k > 0 ? params.top_k + 1 : 1; }

class Search {
 public:
  Search(const ScreenedLogits& screened, const ChoiceRules& rules, const ScoreTokens& score)
      : screened_(screened), rules_(rules), score_(score) {
    list_touched();
  }

  std::vector<ScoredToken> run() {
    if (few_allowed(rules_.allowed)) return score_allowed();
    if (touched_.size() > kMostCandidates) return {};
    const SamplingParams& params = rules_.sampler.params();
    const int needed = rules_.sampler.greedy() ? 1 : tokens_needed(params);
    std::vector<ScoredToken> found = above(rank_threshold(needed));
    if (found.empty() || rules_.sampler.greedy() || params.top_k > 0) return found;
    return above(floor_threshold(found));
  }

  // The free tokens that can reach the threshold, and all that are touched.
  std::vector<ScoredToken> above(float threshold) const {
    std::vector<TokenId> tokens = touched_;
    for (std::size_t block = 0; block < screened_.block_upper.size(); ++block) {
      if (!(screened_.block_upper[block] >= threshold)) continue;
      const int begin = static_cast<int>(block) * kScreenBlock;
      for (int token = begin; token < block_end(static_cast<int>(block)); ++token) {
        if (screened_.upper(token) >= threshold && is_free(token)) tokens.push_back(token);
      }
      if (tokens.size() > kMostCandidates) return {};
    }
    std::sort(tokens.begin(), tokens.end());
    return scored(tokens);
  }

  // What `needed` different free tokens reach for sure: the tokens below cannot be among the first
  // `needed`. From the best of each block, which costs little and is hardly less than the truth.
  float rank_threshold(int needed) const {
    std::vector<float> best = screened_.block_lower;
    if (needed > static_cast<int>(best.size())) return kLowest;
    if (rules_.allowed != nullptr) {
      for (std::size_t b = 0; b < best.size(); ++b) best[b] = lowest_best(static_cast<int>(b));
    } else {
      int done = -1;
      for (const TokenId token : touched_) {
        const int block = token / kScreenBlock;
        if (block != done) best[block] = lowest_best(block);
        done = block;
      }
    }
    std::nth_element(best.begin(), best.begin() + (needed - 1), best.end(), std::greater<>());
    return with_slack(best[needed - 1]);
  }

 private:
  std::vector<ScoredToken> score_allowed() const {
    std::vector<TokenId> tokens;
    for (int token = 0; token < screened_.tokens; ++token) {
      if (is_allowed(token)) tokens.push_back(token);
    }
    return scored(tokens);
  }

  void list_touched() {
    rules_.sampler.list_adjusted(touched_);
    touched_.insert(touched_.end(), rules_.forbidden.begin(), rules_.forbidden.end());
    std::erase_if(touched_, [&](TokenId token) {
      return token < 0 || token >= screened_.tokens || !is_allowed(token);
    });
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  }

  bool is_allowed(TokenId token) const {
    return rules_.allowed == nullptr || ((*rules_.allowed)[token / 32] >> (token % 32) & 1) != 0;
  }
  // Whether the screening's bounds say where the token stands among the others.
  bool is_free(TokenId token) const {
    return is_allowed(token) && !std::binary_search(touched_.begin(), touched_.end(), token);
  }

  int block_end(int block) const { return std::min((block + 1) * kScreenBlock, screened_.tokens); }
  float lowest_best(int block) const {
    float best = kLowest;
    for (int token = block * kScreenBlock; token < block_end(block); ++token) {
      if (is_free(token)) best = std::max(best, screened_.lower(token));
    }
    return best;
  }

  // The least that a free token needs to survive min-p: the sampler compares logit / temperature,
  // rounded, with the floor under the largest.
  float floor_threshold(const std::vector<ScoredToken>& found) const {
    const SamplingParams& params = rules_.sampler.params();
    const float highest = rules_.sampler.highest_among(found, rules_.forbidden, rules_.allowed);
    if (!std::isfinite(highest)) return kLowest;
    const float floor = rules_.sampler.floor_below(highest);
    return with_slack(static_cast<float>(static_cast<double>(floor) * params.temperature));
  }

  // Different logits may be equal once they are divided by the temperature, and then ids decide.
  static float with_slack(float threshold) {
    return threshold - (std::fabs(threshold) * 0x1p-20f + ScreenedLogits::kLeast);
  }

  std::vector<ScoredToken> scored(const std::vector<TokenId>& tokens) const {
    std::vector<float> logits(tokens.size());
    score_(tokens, logits.data());
    std::vector<ScoredToken> result;
    result.reserve(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) result.push_back({tokens[i], logits[i]});
    return result;
  }

  const ScreenedLogits& screened_;
  const ChoiceRules& rules_;
  const ScoreTokens score_;
  std::vector<TokenId> touched_;
};

}  // namespace

bool may_screen(const ChoiceRules& rules) {
  const SamplingParams& params = rules.sampler.params();
  if (few_allowed(rules.allowed) || rules.sampler.greedy() || params.min_p > 0.0f) return true;
  return params.top_k > 0 && static_cast<std::size_t>(params.top_k) < kMostCandidates / 4;
}

float best_bound(const ScreenedLogits& screened, const ChoiceRules& rules) {
  return Search(screened, rules, {}).rank_threshold(1);
}

std::vector<ScoredToken> candidates_above(const ScreenedLogits& screened, const ChoiceRules& rules,
                                          float threshold, const ScoreTokens& score) {
  return Search(screened, rules, score).above(threshold);
}

std::vector<ScoredToken> find_candidates(const ScreenedLogits& screened, const ChoiceRules& rules,
                                         const ScoreTokens& score) {
  return Search(screened, rules, score).run();
}

}  // namespace sterna

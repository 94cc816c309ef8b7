#include "runtime/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/philox.h"

namespace sterna {

namespace {

constexpr float kGreedyBelow = 1e-5f;
constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int kFirstNucleus = 256;  // candidates sorted at first; most nuclei are far smaller

bool allows(const std::vector<std::uint32_t>& allowed, TokenId token) {
  return (allowed[token / 32] >> (token % 32) & 1) != 0;
}

void mask(float* logits, int vocab_size, const std::vector<std::uint32_t>& allowed) {
  for (int token = 0; token < vocab_size; ++token) {
    if (!allows(allowed, token)) logits[token] = kNever;
  }
}

// Rules tokens out, unless that would leave none. find(token) points to its logit or is null;
// any_left() says whether a token can still be chosen.
template <typename Find, typename AnyLeft>
void forbid(const std::vector<TokenId>& tokens, Find find, AnyLeft any_left) {
  std::vector<std::pair<float*, float>> before;
  for (const TokenId token : tokens) {
    float* logit = find(token);
    if (logit == nullptr) continue;
    before.emplace_back(logit, *logit);
    *logit = kNever;
  }
  if (before.empty() || any_left()) return;
  // Backwards, so that a token that was named twice gets its first value.
  for (auto entry = before.rbegin(); entry != before.rend(); ++entry) {
    *entry->first = entry->second;
  }
}

// What is chosen where every token is out of the question: the first that the mask allows.
TokenId first_allowed(const std::vector<std::uint32_t>* allowed) {
  if (allowed == nullptr) return 0;
  for (std::size_t word = 0; word < allowed->size(); ++word) {
    const std::uint32_t bits = (*allowed)[word];
    if (bits != 0) return static_cast<TokenId>(word * 32 + std::countr_zero(bits));
  }
  return 0;
}

// Among tokens in ascending order: the largest logit, the lowest id on a tie; `otherwise` where
// every one is out of the question, as argmax.
ScoredToken best_of(const std::vector<ScoredToken>& tokens, TokenId otherwise = 0) {
  ScoredToken best{otherwise, kNever};
  for (const ScoredToken& each : tokens) {
    if (each.logit > best.logit) best = each;
  }
  return best;
}

}  // namespace

TokenId argmax(const float* logits, int vocab_size, TokenId otherwise) {
  TokenId best = otherwise;
  float value = kNever;
  for (int i = 0; i < vocab_size; ++i) {
    if (logits[i] > value) {
      value = logits[i];
      best = i;
    }
  }
  return best;
}

Sampler::Sampler(const SamplingParams& params, const std::vector<TokenId>& prompt)
    : params_(params) {
  const bool repetition = params_.repetition_penalty != 1.0f;
  counts_needed_ =
      repetition || params_.frequency_penalty != 0.0f || params_.presence_penalty != 0.0f;
  if (repetition) seen_.insert(prompt.begin(), prompt.end());
}

void Sampler::accept(TokenId token) {
  if (!counts_needed_) return;
  seen_.insert(token);
  ++output_count_[token];
}

TokenId Sampler::sample(const float* logits, int vocab_size, int index,
                        const std::vector<TokenId>& forbidden,
                        const std::vector<std::uint32_t>* allowed,
                        std::vector<float>& scratch) const {
  const bool adjusted = counts_needed_ || !params_.logit_bias.empty();
  if (greedy() && !adjusted && forbidden.empty() && allowed == nullptr) {
    return argmax(logits, vocab_size);
  }

  scratch.assign(logits, logits + vocab_size);
  const auto find = [&](TokenId token) {
    return token >= 0 && token < vocab_size ? scratch.data() + token : nullptr;
  };
  if (adjusted) adjust(find);
  if (allowed != nullptr) mask(scratch.data(), vocab_size, *allowed);
  forbid(forbidden, find, [&] { return scratch[argmax(scratch.data(), vocab_size)] > kNever; });
  const TokenId otherwise = first_allowed(allowed);
  if (greedy()) return argmax(scratch.data(), vocab_size, otherwise);

  for (float& logit : scratch) logit /= params_.temperature;
  return draw(scratch.data(), vocab_size, otherwise, uniform(params_.seed, index));
}

TokenId Sampler::sample_among(std::vector<ScoredToken>& tokens, int index,
                              const std::vector<TokenId>& forbidden,
                              const std::vector<std::uint32_t>* allowed) const {
  prepare(tokens, forbidden, allowed);
  const ScoredToken best = best_of(tokens, first_allowed(allowed));
  if (greedy() || !(best.logit > kNever) || std::isinf(best.logit)) return best.token;
  const float floor = floor_below(best.logit);
  std::erase_if(tokens,
                [=](const ScoredToken& t) { return !(t.logit >= floor && t.logit > kNever); });
  return pick(tokens, best.logit, uniform(params_.seed, index));
}

float Sampler::highest_among(std::vector<ScoredToken> tokens, const std::vector<TokenId>& forbidden,
                             const std::vector<std::uint32_t>* allowed) const {
  prepare(tokens, forbidden, allowed);
  return best_of(tokens).logit;
}

void Sampler::prepare(std::vector<ScoredToken>& tokens, const std::vector<TokenId>& forbidden,
                      const std::vector<std::uint32_t>* allowed) const {
  const auto find = [&](TokenId token) -> float* {
    const auto found = std::lower_bound(
        tokens.begin(), tokens.end(), token,
        [](const ScoredToken& each, TokenId wanted) { return each.token < wanted; });
    return found != tokens.end() && found->token == token ? &found->logit : nullptr;
  };
  adjust(find);
  for (ScoredToken& each : tokens) {
    if (allowed != nullptr && !allows(*allowed, each.token)) each.logit = kNever;
  }
  forbid(forbidden, find, [&] { return best_of(tokens).logit > kNever; });
  if (greedy()) return;
  for (ScoredToken& each : tokens) each.logit /= params_.temperature;
}

bool Sampler::greedy() const { return params_.temperature < kGreedyBelow; }

void Sampler::list_adjusted(std::vector<TokenId>& tokens) const {
  for (const auto& [token, bias] : params_.logit_bias) tokens.push_back(token);
  tokens.insert(tokens.end(), seen_.begin(), seen_.end());
  for (const auto& [token, count] : output_count_) tokens.push_back(token);
}

// find(token) points to the token's logit, or is null where that is of no interest.
template <typename Find>
void Sampler::adjust(Find find) const {
  for (const auto& [token, bias] : params_.logit_bias) {
    if (float* logit = find(token)) *logit += bias;
  }
  if (params_.repetition_penalty != 1.0f) {
    for (const TokenId token : seen_) {
      float* logit = find(token);
      if (logit == nullptr) continue;
      *logit =
          *logit > 0.0f ? *logit / params_.repetition_penalty : *logit * params_.repetition_penalty;
    }
  }
  for (const auto& [token, count] : output_count_) {
    float* logit = find(token);
    if (logit == nullptr) continue;
    *logit -= params_.frequency_penalty * static_cast<float>(count);
    *logit -= params_.presence_penalty;
  }
}

// min-p: p >= min_p * p_max is logit >= logit_max + log(min_p).
float Sampler::floor_below(float highest) const {
  return params_.min_p > 0.0f ? highest + std::log(params_.min_p) : kNever;
}

TokenId Sampler::draw(const float* logits, int vocab_size, TokenId otherwise, double random) const {
  const TokenId best = argmax(logits, vocab_size, otherwise);
  const float highest = logits[best];
  if (!(highest > kNever) || std::isinf(highest)) return best;

  const float floor = floor_below(highest);
  std::vector<ScoredToken> candidates;
  candidates.reserve(params_.min_p > 0.0f ? 64 : vocab_size);
  for (int i = 0; i < vocab_size; ++i) {
    if (logits[i] >= floor && logits[i] > kNever) candidates.push_back({i, logits[i]});
  }
  return pick(candidates, highest, random);
}

// Inverse-CDF sampling in double precision over the candidates in a fixed order: of their ids, or,
// where some are left out, of their likelihood.
TokenId Sampler::pick(std::vector<ScoredToken>& candidates, float highest, double random) const {
  std::size_t kept = candidates.size();
  std::size_t sorted = 0;
  const auto sort_first = [&](std::size_t count) {
    std::partial_sort(candidates.begin(), candidates.begin() + count, candidates.end(),
                      more_likely);
    sorted = count;
  };
  if (params_.top_k > 0 && static_cast<std::size_t>(params_.top_k) < kept) {
    kept = params_.top_k;
    sort_first(kept);
  }
  const auto weight = [&](std::size_t i) {
    return std::exp(static_cast<double>(candidates[i].logit) - highest);
  };
  double total = 0.0;
  for (std::size_t i = 0; i < kept; ++i) total += weight(i);

  if (params_.top_p < 1.0f) {
    // The smallest most-likely set that holds top_p of the mass, the token that crosses included.
    const double target = params_.top_p * total;
    double mass = 0.0;
    std::size_t nucleus = 0;
    while (nucleus < kept) {
      if (nucleus >= sorted) {
        sort_first(std::min<std::size_t>(kept, std::max<std::size_t>(kFirstNucleus, sorted * 8)));
      }
      mass += weight(nucleus);
      ++nucleus;
      if (mass >= target) break;
    }
    kept = nucleus;
    total = mass;
  }

  const double target = random * total;
  double mass = 0.0;
  for (std::size_t i = 0; i < kept; ++i) {
    mass += weight(i);
    if (target < mass) return candidates[i].token;
  }
  // Rounding left the target at the very end of the mass.
  return candidates[kept - 1].token;
}

LogProbabilities::LogProbabilities(const float* logits, int vocab_size)
    : logits_(logits), vocab_size_(vocab_size) {
  const double highest = logits[argmax(logits, vocab_size)];
  double sum = 0.0;
  for (int i = 0; i < vocab_size; ++i) sum += std::exp(static_cast<double>(logits[i]) - highest);
  log_sum_ = highest + std::log(sum);
}

float LogProbabilities::of(TokenId token) const {
  return static_cast<float>(static_cast<double>(logits_[token]) - log_sum_);
}

std::vector<TokenLogprob> LogProbabilities::top(int count) const {
  std::vector<TokenId> order(vocab_size_);
  std::iota(order.begin(), order.end(), 0);
  const int kept = std::min(count, vocab_size_);
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](TokenId a, TokenId b) {
    return more_likely({a, logits_[a]}, {b, logits_[b]});
  });
  std::vector<TokenLogprob> top;
  top.reserve(kept);
  for (int i = 0; i < kept; ++i) top.push_back({order[i], of(order[i])});
  return top;
}

}  // namespace sterna

#include "runtime/bounded_choice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/philox.h"

namespace sterna {

namespace {

// Tokens are scored exactly down to this far, in units of the temperature, below the best bound:
// the first distance of these that leaves few enough.
constexpr float kReaches[] = {14.0f, 11.0f, 8.0f, 6.0f};
// Beyond this, the roundings of float in exponents outgrow kLoose.
constexpr float kMostLargest = 1000.0f;
// What the weights of the tail may be off by for their roundings: arguments to 2^-23 * kMostLargest
// and exponentials to a unit in the last place.
constexpr double kLoose = 1e-3;
// What a sum of all weights may be off by, in whatever order: (number of tokens) * 2^-53,
// generously.
constexpr double kSumLoose = 1e-9;
constexpr double kNothing = 1e-28;  // more than 64 exponentials that underflow

struct Interval {
  double low = 0.0;
  double high = 0.0;

  void add(double weight) {
    low += weight;
    high += weight;
  }
  void add(const Interval& other) {
    low += other.low;
    high += other.high;
  }
  Interval loosened() const { return {low * (1.0 - kSumLoose), high * (1.0 + kSumLoose)}; }
};

class BoundedChoice {
 public:
  BoundedChoice(const ScreenedLogits& screened, const ChoiceRules& rules,
                std::vector<ScoredToken> scored, float threshold)
      : screened_(screened),
        rules_(rules),
        params_(rules.sampler.params()),
        scored_(std::move(scored)),
        threshold_(threshold) {
    for (const ScoredToken& each : scored_) ids_.push_back(each.token);
  }

  std::optional<TokenId> run(double random) {
    rules_.sampler.prepare(scored_, rules_.forbidden, nullptr);
    largest_ = scored_[0].logit;
    for (const ScoredToken& each : scored_) largest_ = std::max(largest_, each.logit);
    // A touched token may have fallen below those that were not scored.
    const float outside = threshold_ / params_.temperature;
    const float margin = std::fabs(outside) * 0x1p-20f + ScreenedLogits::kLeast;
    if (!(largest_ > outside + margin) || !(std::fabs(largest_) < kMostLargest)) return {};
    std::erase_if(scored_, [](const ScoredToken& each) { return !std::isfinite(each.logit); });
    return params_.top_p < 1.0f ? from_nucleus(random, outside + margin) : from_all(random);
  }

 private:
  double weight(const ScoredToken& token) const {
    return std::exp(static_cast<double>(token.logit) - largest_);
  }

  // The weights of a block's tokens from `begin` on, but for those that were scored, which are not
  // among them.
  Interval tail(int begin, int end) const {
    if (begin >= end) return {};
    const int block = begin / kScreenBlock;
    // Nothing there: the weights vanish beside the sums' own roundings.
    const float base = largest_ * params_.temperature;
    const double most = std::exp((static_cast<double>(screened_.block_upper[block]) - base) /
                                 static_cast<double>(params_.temperature));
    if (most < 1e-16) return {0.0, most * (end - begin) * (1.0 + kLoose)};
    float exponents[kScreenBlock];
    float weights[kScreenBlock];
    float error = 0.0f;
    for (int token = begin; token < end; ++token) {
      exponents[token - begin] = (screened_.upper(token) - base) / params_.temperature;
      error = std::max(error, screened_.error(token));
    }
    screened_.kernels->exp(exponents, end - begin, weights);
    double sum = 0.0;
    for (int i = 0; i < end - begin; ++i) sum += weights[i];
    const double shrink = std::exp(-2.0 * error / params_.temperature) * (1.0 - 3.0 * kLoose);
    return {std::max(sum * shrink - kNothing, 0.0), sum * (1.0 + kLoose) + kNothing};
  }

  // Calls between(interval) for each stretch of tokens that were not scored, and at(token) for each
  // that was, in order of their ids.
  template <typename Between, typename At>
  void walk(Between between, At at) const {
    std::size_t next = 0;
    for (int begin = 0; begin < screened_.tokens; begin += kScreenBlock) {
      const int end = std::min(begin + kScreenBlock, screened_.tokens);
      int from = begin;
      for (; next < ids_.size() && ids_[next] < end; ++next) {
        between(tail(from, ids_[next]));
        at(ids_[next]);
        from = ids_[next] + 1;
      }
      between(tail(from, end));
    }
  }

  Interval total() {
    Interval sum;
    std::size_t next = 0;
    walk([&](const Interval& part) { sum.add(part); },
         [&](TokenId token) {
           if (next < scored_.size() && scored_[next].token == token)
             sum.add(weight(scored_[next++]));
         });
    return sum.loosened();
  }

  std::optional<TokenId> from_nucleus(double random, float outside) {
    const Interval all = total();
    const Interval target{params_.top_p * all.low, params_.top_p * all.high};
    std::sort(scored_.begin(), scored_.end(), more_likely);
    double mass = 0.0;
    for (std::size_t kept = 0; kept < scored_.size(); ++kept) {
      // From here on, tokens that were not scored may come first.
      if (!(scored_[kept].logit > outside)) return {};
      mass += weight(scored_[kept]);
      if (mass < target.low) continue;
      if (mass < target.high) return {};
      return drawn(random * mass, kept + 1);
    }
    return {};
  }

  TokenId drawn(double target, std::size_t kept) const {
    double mass = 0.0;
    for (std::size_t i = 0; i < kept; ++i) {
      mass += weight(scored_[i]);
      if (target < mass) return scored_[i].token;
    }
    return scored_[kept - 1].token;
  }

  std::optional<TokenId> from_all(double random) {
    const Interval all = total();
    const Interval target{random * all.low, random * all.high};
    Interval mass;
    std::size_t next = 0;
    std::optional<TokenId> found;
    walk([&](const Interval& part) { mass.add(part); },
         [&](TokenId token) {
           if (next == scored_.size() || scored_[next].token != token) return;
           const Interval before = mass.loosened();
           mass.add(weight(scored_[next++]));
           if (before.high < target.low && mass.loosened().low > target.high) found = token;
         });
    return found;
  }

  const ScreenedLogits& screened_;
  const ChoiceRules& rules_;
  const SamplingParams& params_;
  std::vector<ScoredToken> scored_;  // ascending by id, until the nucleus is sorted
  std::vector<TokenId> ids_;         // of all that were scored
  float threshold_;                  // no other token's logit reaches it
  float largest_ = 0.0f;             // behind bias, penalties and temperature
};

}  // namespace

bool may_choose_within_bounds(const ChoiceRules& rules) {
  const SamplingParams& params = rules.sampler.params();
  return rules.allowed == nullptr && !rules.sampler.greedy() && params.top_k == 0 &&
         params.min_p == 0.0f;
}

std::optional<TokenId> choose_within_bounds(const ScreenedLogits& screened,
                                            const ChoiceRules& rules, int index,
                                            const ScoreTokens& score) {
  const SamplingParams& params = rules.sampler.params();
  // Among tokens that nothing touches, so that one of them is left whatever is forbidden.
  const float best = best_bound(screened, rules);
  if (!std::isfinite(best)) return {};
  for (const float reach : kReaches) {
    const float threshold = best - reach * params.temperature;
    std::vector<ScoredToken> scored = candidates_above(screened, rules, threshold, score);
    if (scored.empty()) continue;
    BoundedChoice choice(screened, rules, std::move(scored), threshold);
    return choice.run(uniform(params.seed, index));
  }
  return {};
}

}  // namespace sterna

#include "runtime/chooser.h"

#include <algorithm>

namespace sterna {

bool stops(const Request& request, TokenId token) {
  const auto& stops = request.stop_tokens;
  return std::find(stops.begin(), stops.end(), token) != stops.end();
}

Chooser::Chooser(OutputHead& head, ThreadPool& pool, int vocab_size, int rows, bool screening)
    : head_(head),
      pool_(pool),
      vocab_(vocab_size),
      rows_(rows),
      screening_(screening && head.can_screen()),
      logits_(static_cast<std::size_t>(rows) * vocab_size),
      scratch_(pool.size()) {}

const float* Chooser::all_logits(const std::vector<const float*>& states) {
  head_.logits(states, logits_.data());
  return logits_.data();
}

int Chooser::compute(std::vector<Draw>& draws) {
  slots_.clear();
  for (Draw& draw : draws) {
    // Choices that were just forked share a state.
    if (slots_.empty() || slots_.back().state != draw.state) {
      slots_.push_back({draw.state, screening_ && head_.can_screen(draw.state), {}});
    }
    draw.slot = static_cast<int>(slots_.size()) - 1;
    slots_.back().screened = slots_.back().screened && may_screen(draw);
  }
  std::vector<int> whole;
  std::vector<int> screened;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    (slots_[i].screened ? screened : whole).push_back(static_cast<int>(i));
  }
  fill(whole, false, logits_.data());
  fill(screened, true, logits_.data() + whole.size() * vocab_);
  screened_states_ += static_cast<std::int64_t>(screened.size());
  return static_cast<int>(slots_.size());
}

void Chooser::fill(const std::vector<int>& slots, bool screen, float* out) {
  if (slots.empty()) return;
  std::vector<const float*> states;
  for (const int slot : slots) states.push_back(slots_[slot].state);
  if (screen) {
    std::vector<ScreenedLogits> screenings = head_.screen(states, out);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      slots_[slots[i]].screening = std::move(screenings[i]);
    }
    return;
  }
  head_.logits(states, out);
  const auto vocab = static_cast<std::size_t>(vocab_);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots_[slots[i]].screened = false;
    slots_[slots[i]].logits = out + i * vocab;
  }
}

ChoiceRules Chooser::rules_of(const Draw& draw) {
  static const std::vector<TokenId> kNone;
  const Request& request = draw.sequence->request->request;
  const bool may_stop = draw.sequence->generated + draw.place >= request.min_tokens;
  return {draw.sequence->sampler, may_stop ? kNone : request.stop_tokens, draw.sequence->allowed()};
}

// Log-probabilities need the sum over all tokens to the last bit.
bool Chooser::may_screen(const Draw& draw) {
  const ChoiceRules rules = rules_of(draw);
  return draw.sequence->request->request.top_logprobs < 0 &&
         (sterna::may_screen(rules) || may_choose_within_bounds(rules));
}

void Chooser::choose(std::vector<Draw>& draws) {
  std::vector<Chain> chains;
  for (Draw& draw : draws) {
    if (draw.place == 0) chains.push_back({&draw, &draw});
    ++chains.back().end;
  }
  const double work = 8.0 * draws.size() * vocab_;
  while (!chains.empty()) {
    const int count = static_cast<int>(chains.size());
    const int workers = std::min(pool_.size(), count);
    pool_.split(workers, work, [&](int begin, int end) {
      for (int worker = begin; worker < end; ++worker) {
        for (int i = worker; i < count; i += workers) draw_chain(chains[i], scratch_[worker]);
      }
    });
    std::erase_if(chains, [](const Chain& chain) { return chain.next == chain.end; });
    complete(chains);
  }
  for (const Draw& draw : draws) rescored_tokens_ += draw.rescored;
}

// All logits of the states at which chains stopped.
void Chooser::complete(const std::vector<Chain>& chains) {
  std::vector<int> slots;
  for (const Chain& chain : chains) {
    const int slot = chain.next->slot;
    if (std::find(slots.begin(), slots.end(), slot) == slots.end()) slots.push_back(slot);
  }
  const std::size_t size = slots.size() * vocab_;
  if (late_logits_.size() < size) late_logits_ = AlignedBuffer<float>(size);
  fill(slots, false, late_logits_.data());
}

// As far as the drafts come true. Each draw sees the sampler and the random number that it would
// see if the tokens before it had come one by one. Stops where a screening is not enough; a chain
// that is done has no next.
void Chooser::draw_chain(Chain& chain, std::vector<float>& scratch) const {
  for (; chain.next != chain.end; ++chain.next) {
    Draw& each = *chain.next;
    if (!draw(each, scratch)) return;
    each.counts = true;
    if (stops(each.sequence->request->request, each.event.token)) break;
    each.sequence->sampler.accept(each.event.token);
    if (each.event.token != each.draft) break;
  }
  chain.next = chain.end;
}

// False when it takes all logits and there is only a screening.
bool Chooser::draw(Draw& draw, std::vector<float>& scratch) const {
  const Request& request = draw.sequence->request->request;
  const TokenId forced = draw.sequence->forced();
  const bool wants_logprobs = request.top_logprobs >= 0;
  draw.event.token = forced;
  if (forced >= 0 && !wants_logprobs) return true;

  const Slot& slot = slots_[draw.slot];
  const ChoiceRules rules = rules_of(draw);
  const int index = draw.sequence->generated + draw.place;
  if (slot.screened) {
    const ScoreTokens score = [&](std::span<const TokenId> tokens, float* logits) {
      draw.rescored += static_cast<std::int64_t>(tokens.size());
      head_.exact(slot.state, tokens, logits);
    };
    if (may_choose_within_bounds(rules)) {
      const auto token = choose_within_bounds(slot.screening, rules, index, score);
      draw.event.token = token.value_or(0);
      return token.has_value();
    }
    std::vector<ScoredToken> candidates = find_candidates(slot.screening, rules, score);
    if (candidates.empty()) return false;
    draw.event.token =
        rules.sampler.sample_among(candidates, index, rules.forbidden, rules.allowed);
    return true;
  }
  if (forced < 0) {
    draw.event.token =
        rules.sampler.sample(slot.logits, vocab_, index, rules.forbidden, rules.allowed, scratch);
  }
  if (!wants_logprobs) return true;
  const LogProbabilities logprobs(slot.logits, vocab_);
  draw.event.logprob = logprobs.of(draw.event.token);
  if (request.top_logprobs > 0) draw.event.top_logprobs = logprobs.top(request.top_logprobs);
  return true;
}

}  // namespace sterna

// What the runtime knows of a live request and of each of its choices.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "model/adapter.h"
#include "runtime/prefix_cache.h"
#include "runtime/sampler.h"
#include "runtime/speculator.h"
#include "sterna/event.h"
#include "sterna/request.h"

namespace sterna {

using Clock = std::chrono::steady_clock;

// What a choice may take: tokens that it must take from output position `index` on, and then those
// that are allowed at the position behind them.
struct TokenMask {
  int index = -1;
  std::vector<TokenId> forced;
  std::vector<std::uint32_t> allowed;
};

// Shared by the choices of a request.
struct LiveRequest {
  Request request;
  const LoadedAdapter* adapter = nullptr;  // that of the request
  Clock::time_point submitted;
  Clock::time_point admitted;  // when the first choice first entered the batch
  bool was_admitted = false;
  bool started = false;  // kStarted was reported; choices have been forked
  int cached_tokens = 0;
  bool long_text = false;  // see needs_long_factors
  std::vector<TokenLogprob> prompt_logprobs;
  std::vector<std::vector<TokenLogprob>> prompt_top_logprobs;
  std::vector<double> state_sum;             // of the prompt's final states, for mean pooling
  std::vector<TokenMask> masks;              // by choice, of a guided request
  std::shared_ptr<NgramIndex> prompt_index;  // see Drafting
};

// Whether every position of the prompt must be computed, even those whose keys and values are
// cached: what is asked for comes from their final states.
inline bool wants_every_state(const LiveRequest& live) {
  return !live.started &&
         (live.request.prompt_logprobs || live.request.embedding == Pooling::kMean);
}

// One choice: its tokens, and how many of them have keys and values in the cache.
struct Sequence {
  Sequence(std::shared_ptr<LiveRequest> live, int choice_index)
      : request(std::move(live)),
        choice(choice_index),
        tokens(request->request.prompt),
        sampler(request->request.sampling, request->request.prompt) {}

  std::shared_ptr<LiveRequest> request;
  int choice;
  std::vector<TokenId> tokens;  // the prompt, then the output
  int computed = 0;             // tokens[0, computed) are in the cache
  int generated = 0;            // tokens of the output
  std::vector<BlockId> blocks;
  int published = 0;  // blocks [0, published) are in the prefix tree
  Sampler sampler;
  // A guided choice's final state of the last token, [hidden_size], while its mask is awaited.
  std::vector<float> held;
  Drafting drafting;

  // Whose keys and values it has in the cache: an adapter's, or the model's own, for long texts or
  // for others.
  std::uint64_t owner() const {
    const std::uint64_t id = request->adapter == nullptr ? 0 : request->adapter->id();
    return 2 * id + (request->long_text ? 1 : 0);
  }
  // Null when the next token is free; the mask must have come.
  const std::vector<std::uint32_t>* allowed() const {
    return request->request.guided ? &request->masks[choice].allowed : nullptr;
  }
  bool may_draw() const {
    if (!request->request.guided) return true;
    const TokenMask& mask = request->masks[choice];
    return mask.index >= 0 && generated >= mask.index &&
           generated - mask.index <= static_cast<int>(mask.forced.size());
  }
  // The token without an alternative at the next position; -1 if there is none.
  TokenId forced() const {
    if (!request->request.guided || !may_draw()) return -1;
    const TokenMask& mask = request->masks[choice];
    const std::size_t place = generated - mask.index;
    return place < mask.forced.size() ? mask.forced[place] : -1;
  }
  // Whether that token can be taken unseen: its log-probability, if wanted, needs its logits.
  bool may_jump() const {
    return request->started && request->request.top_logprobs < 0 && forced() >= 0;
  }
  int remaining() const { return static_cast<int>(tokens.size()) - computed; }
  // Places in the batch: until the prompt is computed, one sequence stands for all choices.
  int slots() const { return request->started ? 1 : request->request.choices; }
};

}  // namespace sterna

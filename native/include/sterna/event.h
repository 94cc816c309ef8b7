// What the engine reports about a request, in order, through its outbox.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sterna/error.h"
#include "sterna/request.h"

namespace sterna {

enum class EventKind : std::uint8_t {
  kStarted,   // the prompt is computed: once per request, before any token
  kToken,     // one more token of one choice (a stop token is never reported)
  kFinished,  // a choice is complete: exactly one per choice unless kFailed came
  kFailed,    // the request ended with an error: nothing follows
  kEmbedded,  // the vector of an embedding request, between kStarted and kFinished
};

enum class FinishReason : std::uint8_t { kNone, kStop, kLength, kCancelled };

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;  // natural logarithm, from the logits before any change
};

struct Event {
  std::uint64_t request_id = 0;
  EventKind kind = EventKind::kToken;
  int choice = 0;
  TokenId token = 0;
  float logprob = 0.0f;                    // kToken, when logprobs were asked for
  std::vector<TokenLogprob> top_logprobs;  // kToken: most likely first
  FinishReason finish_reason = FinishReason::kNone;
  int prompt_tokens = 0;                      // kStarted
  int cached_tokens = 0;                      // kStarted: prompt tokens whose KV was reused
  double queue_seconds = 0.0;                 // kStarted: submit to first computation
  double prefill_seconds = 0.0;               // kStarted: first computation to first logits
  std::vector<TokenLogprob> prompt_logprobs;  // kStarted, when asked for; entry 0 is {prompt[0], 0}
  // kStarted, with top_logprobs: for each prompt token what was most likely in its place; entry 0
  // is empty.
  std::vector<std::vector<TokenLogprob>> prompt_top_logprobs;
  std::vector<float> embedding;  // kEmbedded: [hidden_size], behind the final norm, not normalized
  ErrorCode error_code = ErrorCode::kInternal;  // kFailed
  std::string error_message;                    // kFailed
};

}  // namespace sterna

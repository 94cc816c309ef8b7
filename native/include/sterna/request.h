// What a caller asks of the engine: tokens in, and how to choose the tokens that come out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sterna {

class Adapter;

using TokenId = std::int32_t;

// Applied in this order: logit bias, penalties, temperature, min-p, top-k, top-p.
struct SamplingParams {
  float temperature = 1.0f;         // below 1e-5: greedy, the lowest id wins a tie
  int top_k = 0;                    // 0: all tokens
  float top_p = 1.0f;               // (0, 1]
  float min_p = 0.0f;               // [0, 1]; relative to the most likely token
  float repetition_penalty = 1.0f;  // > 0; counts the prompt and the output
  float frequency_penalty = 0.0f;   // counts the output only
  float presence_penalty = 0.0f;    // counts the output only
  std::uint64_t seed = 0;           // the same seed, prompt and parameters give the same tokens
  std::vector<std::pair<TokenId, float>> logit_bias;
};

// How the final states of a prompt's tokens become one vector.
enum class Pooling : std::uint8_t { kLast, kMean };

struct Request {
  std::uint64_t id = 0;  // chosen by the caller, unique among live requests
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  int max_tokens = 16;  // per choice
  int min_tokens = 0;   // stop tokens are not sampled before this many
  int choices = 1;      // the prompt is computed once; choice i samples with seed + i
  std::vector<TokenId> stop_tokens;
  int top_logprobs = -1;  // -1: none; 0: the chosen token's only; n: also the n most likely
  // Log-probabilities of the prompt's own tokens, too, and of top_logprobs others at each position.
  bool prompt_logprobs = false;
  // Ask for a vector instead of an answer: nothing is sampled, and only id and prompt count.
  std::optional<Pooling> embedding;
  // Null: the model alone. It stays in memory until the request has ended.
  std::shared_ptr<const Adapter> adapter;
  bool guided = false;  // each token waits for the mask that Engine::guide gives for it
};

}  // namespace sterna

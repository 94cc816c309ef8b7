#include "runtime/validation.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "model/adapter.h"

namespace sterna {

namespace {

constexpr int kMostTopLogprobs = 100;

[[noreturn]] void reject(const std::string& field, const std::string& rule) {
  throw Error(ErrorCode::kInvalidArgument, field + " must be " + rule, field);
}

void require_range(const std::string& field, double value, double low, double high) {
  // Written so that NaN fails.
  if (!(value >= low && value <= high)) {
    const auto text = [](double x) {
      std::string digits = std::to_string(x);
      digits.erase(digits.find_last_not_of('0') + 1);
      if (digits.back() == '.') digits.pop_back();
      return digits;
    };
    reject(field, "between " + text(low) + " and " + text(high));
  }
}

void validate_sampling(const SamplingParams& p, const ModelConfig& config) {
  require_range("temperature", p.temperature, 0.0, 100.0);
  require_range("top_k", p.top_k, 0, 1 << 30);
  if (!(p.top_p > 0.0f && p.top_p <= 1.0f)) reject("top_p", "above 0 and at most 1");
  require_range("min_p", p.min_p, 0.0, 1.0);
  if (!(p.repetition_penalty > 0.0f && p.repetition_penalty <= 100.0f)) {
    reject("repetition_penalty", "above 0 and at most 100");
  }
  require_range("frequency_penalty", p.frequency_penalty, -100.0, 100.0);
  require_range("presence_penalty", p.presence_penalty, -100.0, 100.0);
  for (const auto& [token, bias] : p.logit_bias) {
    if (token < 0 || token >= config.vocab_size) {
      reject("logit_bias", "given for token ids below " + std::to_string(config.vocab_size));
    }
    if (std::isnan(bias)) reject("logit_bias", "a number");
  }
}

// A sequence that runs alone must fit, or it could never finish.
void require_context(const Request& request, int max_tokens, const ModelConfig& config,
                     const EngineOptions& options) {
  const std::int64_t context = std::min(config.context_length, options.kv_cache_tokens);
  const std::int64_t wanted = static_cast<std::int64_t>(request.prompt.size()) + max_tokens;
  if (wanted <= context) return;
  const std::string more =
      max_tokens > 0 ? " and " + std::to_string(max_tokens) + " more may be generated" : "";
  throw Error(ErrorCode::kContextLength,
              "the prompt has " + std::to_string(request.prompt.size()) + " tokens" + more +
                  ", but the context window holds " + std::to_string(context) +
                  "; shorten the prompt" + (max_tokens > 0 ? " or lower max_tokens" : ""),
              "prompt");
}

}  // namespace

void validate_options(const EngineOptions& options) {
  require_range("threads", options.threads, 0, 1024);
  require_range("max_batch", options.max_batch, 1, 1024);
  require_range("max_queue", options.max_queue, 0, 1 << 20);
  require_range("max_batch_tokens", options.max_batch_tokens, 16, 1 << 16);
  require_range("kv_cache_tokens", options.kv_cache_tokens, 0, 1 << 30);
  require_range("max_draft_tokens", options.max_draft_tokens, 1, 64);
}

void validate_mask(const std::vector<std::uint32_t>& allowed, const ModelConfig& config) {
  const std::size_t words = (static_cast<std::size_t>(config.vocab_size) + 31) / 32;
  if (allowed.size() != words) reject("allowed", std::to_string(words) + " words long");
  std::uint32_t any = 0;
  for (std::size_t i = 0; i + 1 < words; ++i) any |= allowed[i];
  const int last_bits = (config.vocab_size - 1) % 32 + 1;
  any |= allowed.back() & (0xffffffffu >> (32 - last_bits));
  if (any == 0) reject("allowed", "a mask that allows at least one token");
}

void validate_forced(const std::vector<TokenId>& forced, const ModelConfig& config) {
  for (const TokenId token : forced) {
    if (token < 0 || token >= config.vocab_size) {
      reject("forced", "token ids below " + std::to_string(config.vocab_size) + ", and holds " +
                           std::to_string(token));
    }
  }
}

void validate_request(const Request& request, const ModelConfig& config,
                      const EngineOptions& options) {
  if (request.adapter) {
    const auto* adapter = dynamic_cast<const LoadedAdapter*>(request.adapter.get());
    if (adapter == nullptr || !adapter->fits(config)) reject("adapter", "one made for this model");
  }
  if (request.prompt.empty()) reject("prompt", "at least one token");
  for (const TokenId token : request.prompt) {
    if (token < 0 || token >= config.vocab_size) {
      reject("prompt", "token ids below " + std::to_string(config.vocab_size) + ", and holds " +
                           std::to_string(token));
    }
  }
  if (request.embedding) {
    if (request.choices != 1) reject("choices", "1 for an embedding");
    require_context(request, 0, config, options);
    return;
  }
  if (request.max_tokens < 1) reject("max_tokens", "at least 1");
  if (request.min_tokens < 0) reject("min_tokens", "at least 0");
  require_range("choices", request.choices, 1, options.max_batch);
  require_range("top_logprobs", request.top_logprobs, -1, kMostTopLogprobs);
  validate_sampling(request.sampling, config);

  require_context(request, request.max_tokens, config, options);
}

}  // namespace sterna

#include "ops/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sterna {

namespace {

// Everything here is single precision, in the reference library's order of operations: numbers that
// it keeps in Python are rounded to float where they meet a tensor.
using Floats = std::vector<float>;

// theta ** (2 i / head_dim)
Floats powers(const ModelConfig& config) {
  Floats result(config.head_dim / 2);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    result[i] = static_cast<float>(std::pow(config.rope_theta, static_cast<double>(exponent)));
  }
  return result;
}

Floats inverse(const Floats& values) {
  Floats result(values.size());
  std::transform(values.begin(), values.end(), result.begin(), [](float v) { return 1.0f / v; });
  return result;
}

Floats linear(const ModelConfig& config) {
  Floats result = inverse(powers(config));
  for (float& value : result) value /= static_cast<float>(config.rope_scaling.factor);
  return result;
}

// Long waves are stretched, short ones kept, and those between interpolated.
Floats llama3(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto factor = static_cast<float>(scaling.factor);
  const double original = scaling.original_context;
  const auto longest = static_cast<float>(original / scaling.low_freq_factor);
  const auto shortest = static_cast<float>(original / scaling.high_freq_factor);
  Floats result = inverse(powers(config));
  for (float& value : result) {
    const float wave = static_cast<float>(2.0 * std::numbers::pi) / value;
    if (wave > longest) {
      value /= factor;
    } else if (!(wave < shortest)) {
      const float smooth =
          (static_cast<float>(original) / wave - static_cast<float>(scaling.low_freq_factor)) /
          static_cast<float>(scaling.high_freq_factor - scaling.low_freq_factor);
      value = (1.0f - smooth) * value / factor + smooth * value;
    }
  }
  return result;
}

// YaRN (arXiv 2309.00071): dimensions that turn often keep their frequency, those that hardly turn
// are interpolated, with a ramp between.
Floats yarn(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto dimension = [&](double turns) {
    return config.head_dim * std::log(scaling.original_context / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
  };
  double low = dimension(scaling.beta_fast);
  double high = dimension(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, config.head_dim - 1.0);
  if (low == high) high += 0.001;
  Floats result = powers(config);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float kept = 1.0f - ramp;
    const float stretched = 1.0f / (static_cast<float>(scaling.factor) * result[i]);
    const float plain = 1.0f / result[i];
    result[i] = stretched * (1.0f - kept) + plain * kept;
  }
  return result;
}

// LongRoPE (arXiv 2402.13753): a factor for each dimension.
Floats longrope(const ModelConfig& config, const std::vector<double>& factors) {
  Floats result = powers(config);
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = 1.0f / (static_cast<float>(factors[i]) * result[i]);
  }
  return result;
}

}  // namespace

RotaryEmbedding::RotaryEmbedding(const ModelConfig& config)
    : attention_factor_(static_cast<float>(config.rope_scaling.attention_factor)) {
  switch (config.rope_scaling.type) {
    case RopeType::kDefault:
      frequencies_ = inverse(powers(config));
      break;
    case RopeType::kLinear:
      frequencies_ = linear(config);
      break;
    case RopeType::kLlama3:
      frequencies_ = llama3(config);
      break;
    case RopeType::kYarn:
      frequencies_ = yarn(config);
      break;
    case RopeType::kLongrope:
      frequencies_ = longrope(config, config.rope_scaling.short_factors);
      long_frequencies_ = longrope(config, config.rope_scaling.long_factors);
      break;
  }
}

void RotaryEmbedding::angles(int position, bool long_text, float* cos, float* sin) const {
  const Floats& slopes = frequencies(long_text);
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    const float angle = static_cast<float>(position) * slopes[i];
    // Double precision, then one rounding: the same bits from every C library.
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * attention_factor_;
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * attention_factor_;
  }
}

}  // namespace sterna

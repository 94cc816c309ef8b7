#include "format/split_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "format/dtype.h"

namespace sterna {

namespace {

constexpr float kMostCode = 127.0f;
// A step that is too small for the largest values costs little where those are few.
constexpr int kTrials = 3;
// Room for the roundings of the norms themselves.
constexpr double kUp = 1.0 + 1e-6;

// Half to even for |x| < 2^22, without a call, so that the loop below becomes vector code.
inline float round_small(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

float nearest_code(float value, float inverse) {
  return round_small(std::clamp(value * inverse, -kMostCode, kMostCode));
}

// The exponent k of the step 2^k that leaves the least of the row, by the sum of squares. In float:
// it decides how tight the bound is, not whether it holds.
int best_step(std::span<const float> row, int largest_exponent) {
  int best = largest_exponent - 6;
  float least = 0.0f;
  for (int trial = 0; trial < kTrials; ++trial) {
    const int exponent = largest_exponent - 6 - trial;
    const float step = std::ldexp(1.0f, exponent);
    const float inverse = std::ldexp(1.0f, -exponent);
    if (!std::isfinite(inverse) || step == 0.0f) break;
    float lanes[16] = {};
    std::size_t i = 0;
    for (; i + 16 <= row.size(); i += 16) {
      for (int l = 0; l < 16; ++l) {
        const float rest = row[i + l] * inverse - nearest_code(row[i + l], inverse);
        lanes[l] += rest * rest;
      }
    }
    for (; i < row.size(); ++i) {
      const float rest = row[i] * inverse - nearest_code(row[i], inverse);
      lanes[0] += rest * rest;
    }
    float sum = 0.0f;
    for (const float lane : lanes) sum += lane;
    const float left = sum * std::ldexp(1.0f, -2 * trial);  // in units of the first step
    if (trial > 0 && !(left < least)) break;
    least = left;
    best = exponent;
  }
  return best;
}

float bound(double norm) { return norm == 0.0 ? 0.0f : static_cast<float>(norm * kUp + 1e-38); }

}  // namespace

SplitRow split_row(std::span<const std::uint16_t> row, std::uint8_t* high, std::uint8_t* low,
                   std::vector<std::uint16_t>& exception_columns,
                   std::vector<std::uint16_t>& exception_bits) {
  const std::size_t stride = split_stride(static_cast<int>(row.size()));
  std::memset(high, kSplitZero, stride);
  std::memset(low, kSplitZero, stride);

  thread_local std::vector<float> values;
  values.resize(row.size());
  float largest = 0.0f;
  for (std::size_t i = 0; i < row.size(); ++i) {
    values[i] = bf16_to_f32(row[i]);
    largest = std::max(largest, std::fabs(values[i]));
  }
  // An exponent that leaves 2^(k - 8) a float, if only a subnormal one.
  const int exponent = largest == 0.0f ? 0 : std::max(best_step(values, std::ilogb(largest)), -139);
  const double step = std::ldexp(1.0, exponent);
  const double fine = 256.0 / step;
  double residual = 0.0;
  double exact_norm = 0.0;
  double code_norm = 0.0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double value = values[i];
    const double units = value * fine;  // exact: a power of two
    const double code = std::clamp(std::floor((units + 128.0) / 256.0), -127.0, 127.0);
    const double rest = units - 256.0 * code;
    const int place = split_place(static_cast<int>(i));
    high[place] = static_cast<std::uint8_t>(static_cast<int>(code) + kSplitZero);
    const bool fits =
        rest >= -128.0 && rest <= 127.0 && rest == std::floor(rest) && row[i] != 0x8000u;
    if (fits) low[place] = static_cast<std::uint8_t>(static_cast<int>(rest) + kSplitZero);
    if (!fits) {
      exception_columns.push_back(static_cast<std::uint16_t>(i));
      exception_bits.push_back(row[i]);
    }
    const double left = value - code * step;
    residual += left * left;
    exact_norm += value * value;
    code_norm += code * step * (code * step);
  }
  SplitRow facts;
  facts.scale = static_cast<float>(step / 256.0);
  facts.residual = bound(std::sqrt(residual));
  facts.norm = bound(std::sqrt(std::max(exact_norm, code_norm)));
  return facts;
}

}  // namespace sterna

// The arithmetic of sixteen lanes and of exp that kernels.h and exp_constants.h define, in plain
// form, for the reference table.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/exp_constants.h"

namespace sterna::reference {

inline constexpr int kLanes = 16;

inline float maximum(float a, float b) { return a > b ? a : b; }

// Joins sixteen lanes pairwise: l with l+8, l+4, l+2, l+1.
template <typename Join>
float join_lanes(const float (&lanes)[kLanes], Join join) {
  float work[kLanes];
  std::copy(lanes, lanes + kLanes, work);
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    for (int l = 0; l < distance; ++l) work[l] = join(work[l], work[l + distance]);
  }
  return work[0];
}

inline float sum_lanes(const float (&lanes)[kLanes]) {
  return join_lanes(lanes, [](float a, float b) { return a + b; });
}

// See exp_constants.h.
inline float exponential(float x) {
  using namespace exp_constants;
  if (x < kExpLow) x = kExpLow;
  if (x > kExpHigh) x = kExpHigh;
  if (std::isnan(x)) return x;
  const float n = std::nearbyint(x * kLog2E);
  const float r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, x));
  float p = std::fma(kC6, r, kC5);
  p = std::fma(p, r, kC4);
  p = std::fma(p, r, kC3);
  p = std::fma(p, r, kC2);
  const float e = std::fma(std::fma(p, r, 1.0f), r, 1.0f);
  const int exponent = static_cast<int>(n);
  const int half = exponent >> 1;
  return (e * std::ldexp(1.0f, half)) * std::ldexp(1.0f, exponent - half);
}

}  // namespace sterna::reference

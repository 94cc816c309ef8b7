// exp(x) in float, one sequence of operations for every instruction set:
//   x = clamp(x, kExpLow, kExpHigh) (NaN stays)
//   n = round_half_even(x * kLog2E)
//   r = fma(n, -kLn2Low, fma(n, -kLn2High, x))
//   p = ((((c6 r + c5) r + c4) r + c3) r + c2), each step one fma
//   e = fma(fma(p, r, 1), r, 1)
//   exp = (e * 2^floor(n / 2)) * 2^(n - floor(n / 2))
// The first scaling is exact, so a subnormal or infinite result is rounded once, by the second.
//
// c2..c6 are a minimax fit (Lawson-weighted least squares at 4001 Chebyshev points, relative error)
// of exp(r) - 1 - r = r^2 (c2 + ... + c6 r^4) on |r| <= ln(2) / 2, rounded to float: relative error
// 3.7e-9 before the rounding of the evaluation. kLn2High has nine trailing zero bits, so that
// n * kLn2High is exact. Over every float the function errs by at most 0.9 ulp
// (kernels_float_test.cc).
#pragma once

namespace sterna::exp_constants {

inline constexpr float kExpLow = -104.0f;  // exp is below half the smallest subnormal: 0
inline constexpr float kExpHigh = 89.0f;   // exp is above the largest float: infinity
inline constexpr float kLog2E = 0x1.715476p+0f;
inline constexpr float kLn2High = 0x1.62e4p-1f;
inline constexpr float kLn2Low = 0x1.7f7d1cp-20f;
inline constexpr float kC2 = 0x1.fffffcp-2f;
inline constexpr float kC3 = 0x1.555492p-3f;
inline constexpr float kC4 = 0x1.5558f2p-5f;
inline constexpr float kC5 = 0x1.123a20p-7f;
inline constexpr float kC6 = 0x1.6a23d0p-10f;

}  // namespace sterna::exp_constants

// Quantization, norm, gates, rotation, addition, exponential: the reference against
// double-precision arithmetic, and every table against the reference, bit for bit.
#include <algorithm>
#include <cfenv>
#include <limits>

#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const std::vector<int> kSizes = {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 576, 1003};

struct Quantized {
  std::vector<std::int8_t> codes;
  float step = 0.0f;
  std::int32_t sum = 0;
};

Quantized quantize(const Kernels& kernels, const std::vector<float>& x) {
  Quantized result;
  result.codes.assign((x.size() + 63) / 64 * 64, 99);
  kernels.quantize_row(x.data(), static_cast<int>(x.size()), result.codes.data(),
                       static_cast<int>(result.codes.size()), &result.step, &result.sum);
  return result;
}

void check_quantize(const std::vector<float>& x, const std::string& what) {
  const Quantized expected = quantize(reference_kernels(), x);
  CHECK(std::all_of(expected.codes.begin() + static_cast<long>(x.size()), expected.codes.end(),
                    [](std::int8_t code) { return code == 0; }));
  std::int32_t sum = 0;
  for (const std::int8_t code : expected.codes) sum += code;
  CHECK_EQ(sum, expected.sum);
  for (const Kernels* kernels : tables_to_test()) {
    const Quantized actual = quantize(*kernels, x);
    const std::string name = std::string(kernels->name) + " quantize " + what;
    check_same_bits(&expected.step, &actual.step, 1, name);
    CHECK_EQ(expected.sum, actual.sum);
    if (expected.codes != actual.codes) report_failure(name.c_str(), 0, "codes differ");
  }
}

TEST(quantize_random_rows) {
  unsigned seed = 1;
  for (int n : kSizes) {
    for (float scale : {1e-38f, 1e-6f, 1.0f, 1e30f}) {
      check_quantize(random_floats(n, ++seed, scale), "n " + std::to_string(n));
    }
  }
}

TEST(quantize_by_definition) {
  const std::vector<float> x = random_floats(300, 3);
  const Quantized q = quantize(reference_kernels(), x);
  float largest = 0.0f;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  const float scale = 127.0f / largest;
  CHECK_EQ(q.step, 1.0f / scale);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK_EQ(static_cast<int>(q.codes[i]), static_cast<int>(std::lrint(double(x[i] * scale))));
  }
}

TEST(quantize_halfway_values_go_to_even) {
  std::vector<float> x = {127.0f};  // so that the scale is 1
  for (int i = -127; i < 127; ++i) x.push_back(static_cast<float>(i) + 0.5f);
  check_quantize(x, "halfway");
  const Quantized q = quantize(reference_kernels(), x);
  for (std::size_t i = 1; i < x.size(); ++i) CHECK_EQ(q.codes[i] % 2, 0);
  CHECK_EQ(q.step, 1.0f);
}

TEST(quantize_zero_small_and_empty) {
  check_quantize(std::vector<float>(100, 0.0f), "zeros");
  CHECK_EQ(quantize(reference_kernels(), std::vector<float>(5, 0.0f)).step,
           1.0f / (127.0f / 1e-5f));
  check_quantize(std::vector<float>(33, -0.0f), "negative zeros");
  check_quantize({1e-6f, -3e-6f, 1e-7f}, "below the floor");
  check_quantize({1e-40f, -1e-45f, 0.0f}, "subnormal");
  check_quantize({std::numeric_limits<float>::max(), -1.0f, -std::numeric_limits<float>::max()},
                 "largest");
  check_quantize({}, "empty");
}

TEST(quantize_not_finite_marks_the_row) {
  for (const float bad : {kNan, -kNan, kInf, -kInf}) {
    for (std::size_t at : {0, 5, 16, 39}) {
      std::vector<float> x = random_floats(40, 9);
      x[at] = bad;
      const Quantized q = quantize(reference_kernels(), x);
      CHECK(std::isnan(q.step));
      CHECK_EQ(q.sum, 0);
      check_quantize(x, "not finite");
    }
  }
}

using Pairwise = void (*)(const float*, const float*, int, float*);

// Every table against the reference for the first n pairs, apart and in place over either input.
void check_pairwise(Pairwise Kernels::* member, const std::vector<float>& a,
                    const std::vector<float>& b, const std::string& what) {
  const int n = static_cast<int>(a.size());
  std::vector<float> expected(a.size());
  (reference_kernels().*member)(a.data(), b.data(), n, expected.data());
  for (const Kernels* kernels : available_kernels()) {
    const std::string name = std::string(kernels->name) + " " + what;
    std::vector<float> out(a.size() + 1, 7.0f);
    (kernels->*member)(a.data(), b.data(), n, out.data());
    check_same_bits(expected.data(), out.data(), a.size(), name);
    CHECK_EQ(out.back(), 7.0f);
    out = a;
    (kernels->*member)(out.data(), b.data(), n, out.data());
    check_same_bits(expected.data(), out.data(), a.size(), name + " over gate");
    out = b;
    (kernels->*member)(a.data(), out.data(), n, out.data());
    check_same_bits(expected.data(), out.data(), a.size(), name + " over up");
  }
}

TEST(gates_equal_the_reference) {
  for (int n : kSizes) {
    for (float scale : {1e-20f, 1.0f, 40.0f, 1e19f}) {
      const auto gate = random_floats(n, n, scale);
      const auto up = random_floats(n, n + 1);
      check_pairwise(&Kernels::relu2_mul, gate, up, "relu2_mul");
      check_pairwise(&Kernels::silu_mul, gate, up, "silu_mul");
    }
  }
  const std::vector<float> special = {0.0f,  -0.0f, kInf,   -kInf,   kNan,    1e-45f, -1e-45f,
                                      88.0f, 89.0f, -88.0f, -104.0f, -200.0f, 3e38f,  -3e38f};
  const std::vector<float> ones(special.size(), 1.0f);
  check_pairwise(&Kernels::relu2_mul, special, ones, "relu2_mul special");
  check_pairwise(&Kernels::silu_mul, special, ones, "silu_mul special");
  check_pairwise(&Kernels::relu2_mul, ones, special, "relu2_mul special up");
}

TEST(gates_by_definition) {
  const auto gate = random_floats(1000, 1, 5.0f);
  const auto up = random_floats(1000, 2);
  std::vector<float> relu2(1000);
  std::vector<float> silu(1000);
  reference_kernels().relu2_mul(gate.data(), up.data(), 1000, relu2.data());
  reference_kernels().silu_mul(gate.data(), up.data(), 1000, silu.data());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = gate[i];
    const double positive = std::max(g, 0.0);
    const double expected_relu2 = positive * positive * up[i];
    const double expected_silu = g / (1.0 + std::exp(-g)) * up[i];
    CHECK(std::fabs(relu2[i] - expected_relu2) <= 2e-7 * std::fabs(expected_relu2));
    CHECK(std::fabs(silu[i] - expected_silu) <= 4e-7 * std::fabs(expected_silu));
  }
  const float nan = kNan;
  const float one = 1.0f;
  float out = 0.0f;
  reference_kernels().relu2_mul(&nan, &one, 1, &out);
  CHECK(std::isnan(out));
}

TEST(rms_norm_equals_the_reference) {
  for (int n : kSizes) {
    for (float scale : {1e-30f, 1e-3f, 1.0f, 1e15f}) {
      const auto x = random_floats(n, n, scale);
      const auto weight = random_floats(n, n + 1);
      std::vector<float> expected(x.size());
      reference_kernels().rms_norm(x.data(), weight.data(), n, 1e-5f, expected.data());
      if (scale == 1.0f) {
        double squares = 0.0;
        for (const float value : x) squares += double(value) * value;
        const double factor = 1.0 / std::sqrt(squares / n + 1e-5);
        for (int i = 0; i < n; ++i) {
          const double exact = x[i] * factor * weight[i];
          CHECK(std::fabs(expected[i] - exact) <= 1e-6 * std::fabs(exact));
        }
      }
      for (const Kernels* kernels : available_kernels()) {
        std::vector<float> out(x.size() + 1, 7.0f);
        kernels->rms_norm(x.data(), weight.data(), n, 1e-5f, out.data());
        check_same_bits(expected.data(), out.data(), x.size(), kernels->name);
        CHECK_EQ(out.back(), 7.0f);
        out = x;
        kernels->rms_norm(out.data(), weight.data(), n, 1e-5f, out.data());
        check_same_bits(expected.data(), out.data(), x.size(), "in place");
      }
    }
  }
}

TEST(rope_equals_the_reference) {
  for (int head_dim : {2, 4, 20, 32, 64, 100, 128, 256}) {
    const int heads = 3;
    const auto x = random_floats(static_cast<std::size_t>(heads) * head_dim, head_dim);
    std::vector<float> cosines;
    std::vector<float> sines;
    for (int i = 0; i < head_dim / 2; ++i) {
      cosines.push_back(std::cos(0.37f * static_cast<float>(i + 1)));
      sines.push_back(std::sin(0.37f * static_cast<float>(i + 1)));
    }
    auto expected = x;
    reference_kernels().rope(expected.data(), heads, head_dim, cosines.data(), sines.data());
    for (int i = 0; i < head_dim / 2; ++i) {
      const double a = x[head_dim + i];
      const double b = x[head_dim + head_dim / 2 + i];
      CHECK(std::fabs(expected[head_dim + i] - (a * cosines[i] - b * sines[i])) < 1e-6);
      CHECK(std::fabs(expected[head_dim + head_dim / 2 + i] - (b * cosines[i] + a * sines[i])) <
            1e-6);
    }
    for (const Kernels* kernels : tables_to_test()) {
      auto actual = x;
      kernels->rope(actual.data(), heads, head_dim, cosines.data(), sines.data());
      check_same_bits(expected.data(), actual.data(), x.size(), kernels->name);
    }
  }
}

TEST(add_equals_the_reference) {
  for (int n : kSizes) {
    const auto x = random_floats(n, n);
    const auto y = random_floats(n, n + 1, 1e-3f);
    for (const Kernels* kernels : available_kernels()) {
      auto out = x;
      kernels->add(out.data(), y.data(), n);
      for (int i = 0; i < n; ++i) CHECK(same_bits(out[i], x[i] + y[i]));
    }
  }
}

// Distance from the exact value, in units of the float's last place.
double ulp_error(float actual, double exact) {
  const float nearest = static_cast<float>(exact);
  if (std::isinf(nearest)) return actual == nearest ? 0.0 : 1e9;
  const float magnitude = std::max(std::fabs(nearest), std::numeric_limits<float>::min());
  const double ulp = std::ldexp(1.0, std::ilogb(magnitude) - 23);
  return std::fabs(actual - exact) / ulp;
}

// Every bit pattern from `first` to `last`, `stride` apart, through every table.
double worst_exp_error(std::uint32_t first, std::uint32_t last, std::uint32_t stride) {
  double worst = 0.0;
  std::vector<float> x;
  const auto flush = [&] {
    std::vector<float> expected(x.size());
    reference_kernels().exp(x.data(), static_cast<int>(x.size()), expected.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, ulp_error(expected[i], std::exp(double(x[i]))));
    }
    for (const Kernels* kernels : tables_to_test()) {
      std::vector<float> actual = x;
      kernels->exp(actual.data(), static_cast<int>(x.size()), actual.data());
      check_same_bits(expected.data(), actual.data(), x.size(), kernels->name);
    }
    x.clear();
  };
  for (std::uint64_t bits = first; bits <= last; bits += stride) {
    x.push_back(float_of(static_cast<std::uint32_t>(bits)));
    if (x.size() == 4099) flush();
  }
  flush();
  return worst;
}

TEST(exp_is_within_one_ulp) {
  // A prime stride visits about half a million floats of each sign; a stride of 1 was run once over
  // every float: the worst error is 0.89 ulp.
  const double positive = worst_exp_error(bits_of(0.0f), bits_of(90.0f), 2203);
  const double negative = worst_exp_error(bits_of(-0.0f), bits_of(-105.0f), 2203);
  std::cout << "exp: worst error " << std::max(positive, negative) << " ulp\n";
  CHECK(positive < 1.0);
  CHECK(negative < 1.0);
}

TEST(exp_at_the_edges) {
  const std::vector<float> x = {0.0f,   -0.0f,  kInf,    -kInf,  kNan,    88.72283f, 88.72284f,
                                89.0f,  1e30f,  -87.33f, -87.4f, -103.9f, -103.98f,  -104.0f,
                                -1e30f, 1e-45f, -1e-45f, 1.0f,   -1.0f,   0.34657f,  0.34658f};
  const std::vector<float> unused(x.size());
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> out(x.size());
    kernels->exp(x.data(), static_cast<int>(x.size()), out.data());
    CHECK_EQ(out[0], 1.0f);
    CHECK_EQ(out[1], 1.0f);
    CHECK_EQ(out[2], kInf);
    CHECK_EQ(bits_of(out[3]), 0u);
    CHECK(std::isnan(out[4]));
    for (std::size_t i = 5; i < x.size(); ++i) CHECK(ulp_error(out[i], std::exp(double(x[i]))) < 1);
  }
}

}  // namespace
}  // namespace sterna

#include "runtime/step_cost.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"

using namespace sterna;

namespace {

// Seconds of a machine: reading the weights hides four rows.
double truth(int rows) { return 0.002 * std::max(4, rows); }

bool near(double a, double b, double tolerance) { return std::abs(a - b) <= tolerance * b; }

// Past the steps that are not believed.
void warm_up(StepCost& cost) {
  for (int i = 0; i < 2; ++i) cost.record({1, 1.0, 1}, 5.0, 5.0);
}

}  // namespace

TEST(nothing_is_known_at_first) {
  StepCost cost(1e-6);
  CHECK_EQ(cost.seconds({1, 0.0, 1}), 0.0);
  warm_up(cost);
  CHECK_EQ(cost.seconds({1, 0.0, 1}), 0.0);
}

TEST(what_was_measured_is_known) {
  StepCost cost(0.0);
  warm_up(cost);
  for (const int rows : {1, 2, 3, 8, 64, 256}) cost.record({rows, 0.0, 1}, truth(rows), 0.001);
  for (const int rows : {1, 2, 3, 8, 64, 256}) {
    CHECK(near(cost.seconds({rows, 0.0, 1}), truth(rows) + 0.001, 1e-9));
  }
  CHECK(near(cost.seconds({8, 0.0, 0}), truth(8), 1e-9));
  // What lies between two points is between their costs.
  const double between = cost.seconds({100, 0.0, 0});
  CHECK(between > truth(64) && between < truth(256));
}

TEST(what_was_not_measured_is_guessed_with_care) {
  StepCost cost(0.0);
  warm_up(cost);
  cost.record({1, 0.0, 0}, 0.010, 0.0);
  CHECK(cost.seconds({2, 0.0, 0}) >= 0.010);
  CHECK(cost.seconds({8, 0.0, 0}) > 0.015);
  CHECK(cost.seconds({8, 0.0, 0}) < 0.080);
  CHECK(cost.seconds({256, 0.0, 0}) > 0.1);
  // A slow step far above says little about few rows.
  cost.record({256, 0.0, 0}, 100.0, 0.0);
  CHECK(cost.seconds({2, 0.0, 0}) <= 0.020);
}

TEST(a_disturbance_passes) {
  StepCost cost(0.0);
  warm_up(cost);
  for (int i = 0; i < 20; ++i) cost.record({4, 0.0, 0}, 0.010, 0.0);
  cost.record({4, 0.0, 0}, 3.0, 0.0);
  CHECK(cost.seconds({4, 0.0, 0}) < 0.0105);
  // A slower machine is noticed, and a faster one sooner.
  for (int i = 0; i < 100; ++i) cost.record({4, 0.0, 0}, 0.020, 0.0);
  CHECK(near(cost.seconds({4, 0.0, 0}), 0.020, 0.05));
  for (int i = 0; i < 6; ++i) cost.record({4, 0.0, 0}, 0.010, 0.0);
  CHECK(near(cost.seconds({4, 0.0, 0}), 0.010, 0.05));
}

TEST(long_contexts_cost_more) {
  StepCost cost(1e-6);  // five times too little
  warm_up(cost);
  for (int i = 0; i < 4000; ++i) {
    const double positions = 100.0 + 10.0 * (i % 400);  // answer after answer
    cost.record({1, positions, 0}, 0.010 + 5e-6 * positions, 0.0);
  }
  CHECK(near(cost.seconds({1, 4000.0, 0}), 0.030, 0.1));
  CHECK(near(cost.seconds({1, 100.0, 0}), 0.0105, 0.1));
}

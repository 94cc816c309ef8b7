#include "runtime/step_cost.h"

#include <algorithm>
#include <bit>

namespace sterna {

namespace {

constexpr int kExact = 8;            // counts up to here have a point of their own
constexpr int kWarmup = 2;           // steps that touch the weights for the first time
constexpr double kBelieve = 0.5;     // weight of a sample that is shorter than expected
constexpr double kDoubt = 1.0 / 16;  // and of a longer one
constexpr double kSurprise = 1.5;    // as which multiple of what was expected it counts, at most
constexpr double kLearnAttention = 0.2;

// How the cost grows with the count where nothing was measured: reading the weights hides the work
// of a few rows.
double shape(double count) { return std::max(1.0, 0.7 + 0.15 * count); }

int point_of(int count) {
  if (count <= kExact) return std::max(count, 1) - 1;
  const int power = std::bit_width(static_cast<unsigned>(count)) - 1;
  const int upper_half = count >> (power - 1) & 1;
  return kExact + 2 * (power - 3) + upper_half;
}

}  // namespace

double StepCost::Curve::at(int count) const {
  if (count <= 0) return 0.0;
  const Point* below = nullptr;
  const Point* above = nullptr;
  for (const Point& point : points_) {
    if (!point.known) continue;
    if (point.count <= count) below = &point;
    if (point.count >= count) {
      above = &point;
      break;
    }
  }
  if (below == nullptr && above == nullptr) return 0.0;
  if (above == nullptr) return below->seconds * shape(count) / shape(below->count);
  if (below == nullptr) return above->seconds * shape(count) / shape(above->count);
  if (below->count == above->count) return below->seconds;
  const double part = (count - below->count) / (above->count - below->count);
  const double between = below->seconds + part * (above->seconds - below->seconds);
  // Twice the rows never take more than twice the time, whatever was measured far above.
  return std::min(between, below->seconds * count / below->count);
}

// Something else may delay a step, but nothing makes it shorter than it is: short samples are
// believed soon and long ones slowly.
void StepCost::Curve::add(int count, double seconds) {
  Point& point = points_[std::min<std::size_t>(point_of(count), points_.size() - 1)];
  if (!point.known) {
    const double expected = at(count);
    point = {static_cast<double>(count), seconds, true};
    if (expected > 0.0) point.seconds = std::min(seconds, kSurprise * expected);
    return;
  }
  seconds = std::min(seconds, kSurprise * point.seconds);
  const double weight = seconds < point.seconds ? kBelieve : kDoubt;
  point.count += weight * (count - point.count);
  point.seconds += weight * (seconds - point.seconds);
}

double StepCost::seconds(const StepLoad& load) const {
  return layers_.at(load.rows) + attention_ * load.positions + head_.at(load.states);
}

void StepCost::record(const StepLoad& load, double layers_seconds, double head_seconds) {
  if (steps_ < kWarmup) {
    ++steps_;
    return;
  }
  if (load.rows > 0) {
    const double attended = attention_ * load.positions;
    const double expected = layers_.at(load.rows) + attended;
    if (load.positions > 0.0 && expected > 0.0) {
      // Each part takes its share of the surprise.
      const double error = std::clamp(layers_seconds - expected, -expected, expected);
      attention_ += kLearnAttention * error * (attended / expected) / load.positions;
    }
    layers_.add(load.rows, std::max(layers_seconds - attended, 0.25 * layers_seconds));
  }
  if (load.states > 0) head_.add(load.states, head_seconds);
}

}  // namespace sterna

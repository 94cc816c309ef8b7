#include "runtime/step_cost.h"

#include <algorithm>
#include <bit>

namespace sterna {

namespace {

constexpr int kExact = 8;          // counts up to here have a point of their own
constexpr int kMemory = 8;         // samples that a mean goes back
constexpr double kSurprise = 2.0;  // a sample counts as at most this much over the mean
constexpr double kLearnAttention = 0.05;

// How the cost grows with the count where nothing was measured: reading the weights hides the work
// of a few rows.
double shape(double count) { return std::max(1.0, 0.7 + 0.15 * count); }

int point_of(int count) {
  if (count <= kExact) return std::max(count, 1) - 1;
  const int power = std::bit_width(static_cast<unsigned>(count)) - 1;
  const int upper_half = count >> (power - 1) & 1;
  return kExact + 2 * (power - 3) + upper_half;
}

// A disturbed measurement is always too long: what is shorter than expected is believed sooner.
double weight_of(int samples, bool shorter) {
  return std::max(shorter ? 0.25 : 1.0 / kMemory, 1.0 / (samples + 1));
}

}  // namespace

double StepCost::Curve::at(int count) const {
  if (count <= 0) return 0.0;
  const Point* below = nullptr;
  const Point* above = nullptr;
  for (const Point& point : points_) {
    if (point.samples == 0) continue;
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
  return below->seconds + part * (above->seconds - below->seconds);
}

void StepCost::Curve::add(int count, double seconds) {
  Point& point = points_[std::min<std::size_t>(point_of(count), points_.size() - 1)];
  if (point.samples > 0) seconds = std::min(seconds, kSurprise * point.seconds);
  const double weight = weight_of(point.samples, seconds < point.seconds);
  point.count += weight * (count - point.count);
  point.seconds += weight * (seconds - point.seconds);
  point.samples = std::min(point.samples + 1, kMemory);
}

double StepCost::seconds(const StepLoad& load) const {
  return layers_.at(load.rows) + attention_ * load.positions + head_.at(load.states);
}

void StepCost::record(const StepLoad& load, double layers_seconds, double head_seconds) {
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

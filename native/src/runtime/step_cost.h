// How long the engine's steps take, learned from those that ran.
#pragma once

#include <array>

namespace sterna {

// What a step computes.
struct StepLoad {
  int rows = 0;            // positions that go through the layers
  double positions = 0.0;  // that those rows attend to, all together
  int states = 0;          // final states that go through the output head
};

// Says what a step would cost, for decisions that change the time but not the answers: how many
// drafts to verify, and how many rows of a prompt to compute beside running streams. Kernels work
// in tiles, heads are screened and caches have sizes, so the cost of rows is not modelled but
// measured; where there is no measurement yet, neighbours and a cautious guess stand in.
class StepCost {
 public:
  // `attention` is a first guess of the seconds for one row's attention to one position.
  explicit StepCost(double attention) : attention_(attention) {}

  // Seconds; 0 before anything was recorded.
  double seconds(const StepLoad& load) const;
  void record(const StepLoad& load, double layers_seconds, double head_seconds);

 private:
  // Seconds by a count of rows.
  class Curve {
   public:
    double at(int count) const;
    void add(int count, double seconds);

   private:
    struct Point {
      double count = 0.0;
      double seconds = 0.0;
      bool known = false;
    };
    // 1 to 8 one by one, then two for each doubling.
    std::array<Point, 40> points_;
  };

  Curve layers_;
  Curve head_;
  double attention_;
  int steps_ = 0;  // recorded, as far as they count as warming up
};

}  // namespace sterna

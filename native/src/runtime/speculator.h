// Prompt-lookup speculation: guesses the next tokens of running sequences from what they said
// before, as far as verifying them pays.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/ngram_index.h"
#include "runtime/step_cost.h"
#include "sterna/engine.h"

namespace sterna {

class Scheduler;
struct Sequence;
struct Slice;

// How often drafts come true, by the length of the match that they follow.
class AcceptanceRates {
 public:
  double of(int match_length) const { return rates_[class_of(match_length)]; }
  // `accepted` drafts came true; then one did not when `failed`.
  void learn(int match_length, int accepted, bool failed, double speed);

 private:
  static constexpr int kClasses = 4;
  static int class_of(int match_length);

  std::array<double, kClasses> rates_ = {0.3, 0.45, 0.65, 0.85};
};

// What speculation knows of one sequence.
struct Drafting {
  std::shared_ptr<NgramIndex> prompt;  // shared by the choices of a request; made at first use
  NgramIndex output{0};                // pairs that end behind the prompt
  AcceptanceRates rates;
  int hint = -1;         // where the last drafts came from, moved on by what came true
  double balance = 0.0;  // tokens won less tokens lost, by the measured cost of steps
  // Of the drafts of the running step:
  int match_length = 0;
  double cost = 0.0;  // in tokens that the batch could have had meanwhile
};

// A step with drafts takes longer, for every sequence of the batch. Drafts are added while they
// make the expected tokens per second grow, given the measured cost of steps and how often the
// sequence's drafts came true. Where they would not pay, a sequence may still try one now and then,
// so that it notices when its text begins to repeat itself. Both end when the sequence has lost
// more than a small allowance, until it has earned it again. Which drafts are tried changes the
// time of an answer, never its tokens. Not thread-safe.
class Speculator {
 public:
  // `max_rows`: of one step.
  Speculator(const EngineOptions& options, int max_rows);

  // Draft rows of one step, at most.
  int max_rows() const { return max_draft_rows_; }

  // Adds drafts to the slices of decoding sequences.
  void extend(std::vector<Slice>& plan, Scheduler& scheduler, const StepCost& cost);

  // `accepted` of a slice's drafts were what the sequence says.
  void learn(Sequence& sequence, int drafted, int accepted);

  std::int64_t drafted() const { return drafted_; }
  std::int64_t accepted() const { return accepted_; }

 private:
  struct Step {
    StepLoad load;
    int tokens = 0;         // that it gives for sure
    double expected = 0.0;  // of drafts
  };

  void draft(Slice& slice, int most, Scheduler& scheduler, const StepCost& cost, Step& step);
  int best_count(const Sequence& sequence, int most, const StepCost& cost, Step& step);
  NgramMatch find(Sequence& sequence) const;

  const Speculation mode_;
  const int max_draft_;  // of one sequence
  const int max_step_rows_;
  const int max_draft_rows_;
  AcceptanceRates rates_;  // of all sequences: where a new one begins
  std::int64_t drafted_ = 0;
  std::int64_t accepted_ = 0;
};

}  // namespace sterna

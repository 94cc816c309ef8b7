// One step of generation: compute the scheduler's plan, choose tokens, report events.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "model/transformer.h"
#include "runtime/chooser.h"
#include "runtime/scheduler.h"
#include "runtime/speculator.h"
#include "runtime/step_cost.h"
#include "sterna/engine.h"

namespace sterna {

// Not thread-safe: belongs to the engine's thread.
class Generator {
 public:
  Generator(std::shared_ptr<const LoadedModel> model, const Kernels& kernels,
            const EngineOptions& options);

  void add(std::shared_ptr<LiveRequest> request);
  void cancel(std::uint64_t request_id, std::optional<int> choice, std::vector<Event>& events);
  void guide(std::uint64_t request_id, int choice, TokenMask mask);
  void cancel_all(std::vector<Event>& events);
  // Forgets every request without a word.
  void drop_all();

  // Advances every running sequence and appends what happened. False when nothing can be done:
  // there is no request, or all of them await their masks.
  bool step(std::vector<Event>& events);

  void fill(EngineStats& stats) const;

 private:
  StepLoad compute(const std::vector<Slice>& plan);
  void report_prompts(const std::vector<Slice>& plan);
  void compute_prompt_logprobs(const Slice& slice, int first_row);
  void add_states(const Slice& slice, int first_row);
  std::vector<Draw> prepare_draws(const std::vector<Slice>& plan, std::vector<Event>& events);
  std::vector<Sequence*> start(Sequence* sequence, std::vector<Event>& events);
  void report_embedding(Sequence* sequence, const float* state, std::vector<Event>& events);
  void report_start(Sequence& sequence, std::vector<Event>& events);
  void learn(const std::vector<Draw>& draws);
  void accept(Draw& draw, std::vector<Event>& events);
  void take_forced(std::vector<Event>& events);
  // Adds a token to the answer; false when it was the last, and the sequence is gone.
  bool append(Sequence* sequence, Event event, std::vector<Event>& events);
  void finish(Sequence* sequence, FinishReason reason, TokenId token, std::vector<Event>& events);

  std::shared_ptr<const LoadedModel> model_;
  ThreadPool pool_;
  Scheduler scheduler_;
  Speculator speculator_;
  StepCost cost_;
  Transformer transformer_;
  Chooser chooser_;
  EngineStats totals_;
};

}  // namespace sterna

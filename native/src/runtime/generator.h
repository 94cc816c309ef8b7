// One step of generation: compute the scheduler's plan, choose tokens, report events.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "model/transformer.h"
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
  // Ends every live request with kFailed.
  void fail_all(ErrorCode code, const std::string& message, std::vector<Event>& events);

  // Advances every running sequence and appends what happened. False when nothing can be done:
  // there is no request, or all of them await their masks.
  bool step(std::vector<Event>& events);

  void fill(EngineStats& stats) const;

 private:
  // A token that a choice gets in this step, or, behind a draft, may get: a chain of draws begins
  // with a sure one, and each of the others counts only if the one before drew its draft.
  struct Draw {
    Sequence* sequence;
    const float* state;   // [hidden_size]
    const float* logits;  // [vocab_size]
    Event event;
    int place = 0;       // in the chain
    TokenId draft = -1;  // what the next draw of the chain presumes; -1: it is the last
    bool counts = false;
  };

  StepLoad compute(const std::vector<Slice>& plan);
  void report_prompts(const std::vector<Slice>& plan);
  void compute_prompt_logprobs(const Slice& slice, int first_row);
  void add_states(const Slice& slice, int first_row);
  std::vector<Draw> prepare_draws(const std::vector<Slice>& plan, std::vector<Event>& events);
  // Returns the number of states.
  int compute_logits(std::vector<Draw>& draws);
  void make_draws(std::vector<Draw>& draws);
  std::vector<Sequence*> start(Sequence* sequence, std::vector<Event>& events);
  void report_embedding(Sequence* sequence, const float* state, std::vector<Event>& events);
  void report_start(Sequence& sequence, std::vector<Event>& events);
  void draw_chain(Draw* begin, const Draw* end, std::vector<float>& scratch) const;
  void draw(Draw& draw, std::vector<float>& scratch) const;
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
  int logits_rows_;
  AlignedBuffer<float> logits_;              // [logits_rows][vocab_size]
  std::vector<std::vector<float>> scratch_;  // one for each worker of the pool
  EngineStats totals_;
};

}  // namespace sterna

// From the final states of a step to tokens: through all logits, or through a screening of the
// output head where that gives the same token.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "model/output_head.h"
#include "runtime/bounded_choice.h"
#include "runtime/candidates.h"
#include "runtime/sequence.h"
#include "sterna/event.h"

namespace sterna {

// A token that a choice gets in this step, or, behind a draft, may get: a chain of draws begins
// with a sure one, and each of the others counts only if the one before drew its draft.
struct Draw {
  Sequence* sequence;
  const float* state;  // [hidden_size]
  Event event;
  int slot = -1;       // of its logits
  int place = 0;       // in the chain
  TokenId draft = -1;  // what the next draw of the chain presumes; -1: it is the last
  bool counts = false;
  std::int64_t rescored = 0;  // tokens, behind a screening
};

bool stops(const Request& request, TokenId token);

// Not thread-safe.
class Chooser {
 public:
  // At most `rows` states at a time.
  Chooser(OutputHead& head, ThreadPool& pool, int vocab_size, int rows, bool screening);

  int rows() const { return rows_; }
  // All logits of up to rows() states, [states][vocab_size], until the next call of any function.
  const float* all_logits(const std::vector<const float*>& states);

  // Computes what the draws need to know of their states; returns the number of states.
  int compute(std::vector<Draw>& draws);
  // Then draws their tokens, and accepts each in its sampler unless it ends its sequence.
  void choose(std::vector<Draw>& draws);

  std::int64_t screened_states() const { return screened_states_; }
  std::int64_t rescored_tokens() const { return rescored_tokens_; }

 private:
  // Draws that are still to be made, in order.
  struct Chain {
    Draw* next;
    Draw* end;
  };
  // What is known of one state's logits: all of them, or a screening, which they replace when it
  // turns out not to be enough.
  struct Slot {
    const float* state;
    bool screened;
    ScreenedLogits screening;
    const float* logits = nullptr;  // [vocab_size], unless screened
  };

  static ChoiceRules rules_of(const Draw& draw);
  static bool may_screen(const Draw& draw);
  void fill(const std::vector<int>& slots, bool screen, float* out);
  void complete(const std::vector<Chain>& chains);
  void draw_chain(Chain& chain, std::vector<float>& scratch) const;
  bool draw(Draw& draw, std::vector<float>& scratch) const;

  OutputHead& head_;
  ThreadPool& pool_;
  const int vocab_;
  const int rows_;
  const bool screening_;
  AlignedBuffer<float> logits_;              // [rows][vocab_size]
  AlignedBuffer<float> late_logits_;         // of slots whose screening was not enough
  std::vector<std::vector<float>> scratch_;  // one for each worker of the pool
  std::vector<Slot> slots_;
  std::int64_t screened_states_ = 0;
  std::int64_t rescored_tokens_ = 0;
};

}  // namespace sterna

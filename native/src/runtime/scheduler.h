// Continuous batching: who runs, who waits, and which tokens are computed in the next step.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/aligned_buffer.h"
#include "ops/kv_layout.h"
#include "runtime/prefix_cache.h"
#include "runtime/sequence.h"
#include "runtime/step_cost.h"
#include "sterna/model.h"

namespace sterna {

struct SchedulerLimits {
  int max_batch = 0;         // sequences in the batch
  int max_batch_tokens = 0;  // rows of one step
  int kv_blocks = 0;
  bool prefix_cache = true;
  KvType kv_type = KvType::kBf16;
};

// tokens[begin, end) of a sequence, to be computed in one step.
struct Slice {
  Sequence* sequence;
  int begin;
  int end;
  // Presumed tokens behind the last one, computed with it.
  std::vector<TokenId> draft = {};

  int rows() const { return end - begin + static_cast<int>(draft.size()); }
};

// Sequences enter in order of arrival, when a slot and the blocks of their prompt are free. Every
// step advances each decoding sequence by one token and spends the rest of the row budget on
// prompts, in equal shares; beside running streams that budget is what makes the step less than
// twice as long, by the measured cost of steps. When blocks run out, the youngest sequence leaves
// the batch, loses its blocks and waits at the head of the queue: it is computed again later, to
// the same bits.
class Scheduler {
 public:
  Scheduler(const ModelConfig& config, const SchedulerLimits& limits);
  ~Scheduler();

  void enqueue(std::unique_ptr<Sequence> sequence);
  // Null when the request is not live.
  LiveRequest* find(std::uint64_t request_id) const;
  // Takes the sequences of a request, or of one of its choices, out, wherever they are, and frees
  // their blocks.
  std::vector<std::unique_ptr<Sequence>> remove_request(std::uint64_t request_id,
                                                        std::optional<int> choice = std::nullopt);
  std::vector<std::unique_ptr<Sequence>> remove_all();

  // Empty only when there is nothing to do.
  std::vector<Slice> plan(const StepCost& cost = StepCost(0.0));

  // Gives a running sequence blocks for up to `count` positions behind its tokens, and returns for
  // how many there is room. Takes only blocks that nobody will need for the next step.
  int reserve_ahead(Sequence& sequence, int count);
  // Takes the blocks back that no token of their sequence reaches.
  void trim();

  // The keys and values of tokens[.., end) are in the cache. Drafts do not count.
  void computed(Sequence& sequence, int end);

  // Another choice of a sequence whose prompt is computed. Shares the full blocks and copies the
  // last one; without a free block for the copy, it waits and is computed again.
  Sequence* fork(const Sequence& parent, int choice);

  // Takes a running or waiting sequence out and frees its blocks.
  std::unique_ptr<Sequence> remove(Sequence* sequence);

  const KvLayout& kv() const { return kv_; }
  const PrefixCache& blocks() const { return blocks_; }
  // The running sequences, in order of admission.
  const std::vector<std::unique_ptr<Sequence>>& batch() const { return running_; }
  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(waiting_.size()); }
  std::int64_t preemptions() const { return preemptions_; }

 private:
  using Owned = std::unique_ptr<Sequence>;

  void admit();
  bool reserve_prompt(Sequence& sequence);
  void plan_decoding(std::vector<Slice>& plan);
  void plan_prompts(std::vector<Slice>& plan, const StepCost& cost);
  int share_rows(std::vector<Sequence*>& sequences, int budget, std::vector<Slice>& plan);
  int rows_beside(const StepLoad& streams, const Sequence& prompt, const StepCost& cost);
  void preempt_youngest();
  void release_blocks(Sequence& sequence);
  int used_slots() const;

  const SchedulerLimits limits_;
  KvLayout kv_;
  void* memory_ = nullptr;  // of the whole KV cache; pages are committed when first written
  PrefixCache blocks_;
  std::vector<Owned> running_;  // in order of admission
  std::deque<Owned> waiting_;
  std::int64_t preemptions_ = 0;
  unsigned turn_ = 0;  // whose prompt comes first
};

}  // namespace sterna

#include "runtime/scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "sterna/error.h"

namespace sterna {

namespace {

// Rows of prompts in a step beside running streams, which must not be stalled: as many as keep the
// step below this multiple of one without them. The rest of a factor of two is for what the
// measurements miss.
constexpr double kLongestStep = 1.9;
constexpr int kUnmeasured = 16;  // before any step was measured
// Now and then a larger step is tried, for a measurement that was too long once would otherwise
// never be made again.
constexpr unsigned kTrialTurns = 32;
constexpr double kTrial = 1.2;
constexpr int kSmallestShare = 4;
constexpr int kLongestRun = 64;  // of tokens that are not yet computed in a stream that goes on

int blocks_for(int tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

}  // namespace

Scheduler::Scheduler(const ModelConfig& config, const SchedulerLimits& limits)
    : limits_(limits), blocks_(limits.kv_blocks, limits.prefix_cache) {
  kv_.type = limits.kv_type;
  kv_.layers = config.layers;
  kv_.blocks = limits.kv_blocks;
  kv_.kv_heads = config.kv_heads;
  kv_.head_dim = config.head_dim;
  memory_ = mmap(nullptr, kv_.total_bytes(), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) {
    throw Error(ErrorCode::kInvalidArgument,
                "the KV cache needs " + std::to_string(kv_.total_bytes() >> 20) +
                    " MiB, which the system refuses; lower kv_cache_tokens or choose a smaller "
                    "kv_cache_dtype",
                "kv_cache_tokens");
  }
  // Attention strides through it: with small pages a quarter of its time goes to address
  // translation.
  madvise(memory_, kv_.total_bytes(), MADV_HUGEPAGE);  // advice: a refusal changes nothing
  kv_.base = static_cast<std::byte*>(memory_);
}

Scheduler::~Scheduler() { munmap(memory_, kv_.total_bytes()); }

void Scheduler::enqueue(Owned sequence) { waiting_.push_back(std::move(sequence)); }

LiveRequest* Scheduler::find(std::uint64_t request_id) const {
  for (const auto& sequence : running_) {
    if (sequence->request->request.id == request_id) return sequence->request.get();
  }
  for (const auto& sequence : waiting_) {
    if (sequence->request->request.id == request_id) return sequence->request.get();
  }
  return nullptr;
}

std::vector<Scheduler::Owned> Scheduler::remove_request(std::uint64_t request_id,
                                                        std::optional<int> choice) {
  std::vector<Owned> removed;
  const auto take_from = [&](auto& queue) {
    for (auto it = queue.begin(); it != queue.end();) {
      // Before the fork, the one sequence stands for every choice.
      const bool chosen = !choice || ((*it)->request->started && (*it)->choice == *choice);
      if ((*it)->request->request.id == request_id && chosen) {
        release_blocks(**it);
        removed.push_back(std::move(*it));
        it = queue.erase(it);
      } else {
        ++it;
      }
    }
  };
  take_from(running_);
  take_from(waiting_);
  return removed;
}

std::vector<Scheduler::Owned> Scheduler::remove_all() {
  std::vector<Owned> removed;
  for (auto& sequence : running_) removed.push_back(std::move(sequence));
  for (auto& sequence : waiting_) removed.push_back(std::move(sequence));
  running_.clear();
  waiting_.clear();
  for (auto& sequence : removed) release_blocks(*sequence);
  return removed;
}

Scheduler::Owned Scheduler::remove(Sequence* sequence) {
  const auto take_from = [&](auto& queue) {
    const auto it = std::find_if(queue.begin(), queue.end(),
                                 [&](const Owned& owned) { return owned.get() == sequence; });
    if (it == queue.end()) return Owned();
    Owned owned = std::move(*it);
    queue.erase(it);
    return owned;
  };
  Owned owned = take_from(running_);
  if (!owned) owned = take_from(waiting_);
  if (owned) release_blocks(*owned);
  return owned;
}

std::vector<Slice> Scheduler::plan(const StepCost& cost) {
  admit();
  std::vector<Slice> plan;
  plan_decoding(plan);
  plan_prompts(plan, cost);
  return plan;
}

int Scheduler::used_slots() const {
  int slots = 0;
  for (const auto& sequence : running_) slots += sequence->slots();
  return slots;
}

void Scheduler::admit() {
  while (!waiting_.empty()) {
    Sequence& next = *waiting_.front();
    if (used_slots() + next.slots() > limits_.max_batch || !reserve_prompt(next)) return;
    if (!next.request->was_admitted) {
      next.request->was_admitted = true;
      next.request->admitted = Clock::now();
      next.request->cached_tokens = next.computed;
    }
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Gives the sequence the blocks of all its tokens, cached ones first.
bool Scheduler::reserve_prompt(Sequence& sequence) {
  const int size = static_cast<int>(sequence.tokens.size());
  // The last token is always computed: its final state is wanted.
  const int limit = wants_every_state(*sequence.request) ? 0 : size - 1;
  sequence.blocks = blocks_.match(sequence.tokens, limit, sequence.owner());
  const int missing = blocks_for(size) - static_cast<int>(sequence.blocks.size());
  // One spare block for each running sequence keeps admission from causing preemption at once.
  const int spare = static_cast<int>(running_.size());
  if (missing + spare > blocks_.available()) {
    release_blocks(sequence);
    return false;
  }
  sequence.computed = static_cast<int>(sequence.blocks.size()) * kKvBlockTokens;
  sequence.published = static_cast<int>(sequence.blocks.size());
  for (int i = 0; i < missing; ++i) sequence.blocks.push_back(blocks_.allocate());
  return true;
}

void Scheduler::release_blocks(Sequence& sequence) {
  blocks_.release(sequence.blocks);
  sequence.blocks.clear();
  sequence.computed = 0;
  sequence.published = 0;
  sequence.held.clear();
}

void Scheduler::plan_decoding(std::vector<Slice>& plan) {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Sequence* sequence = running_[i].get();
    if (sequence->remaining() == 0) continue;
    const int size = static_cast<int>(sequence->tokens.size());
    bool ready = true;
    while (static_cast<int>(sequence->blocks.size()) < blocks_for(size)) {
      const BlockId block = blocks_.allocate();
      if (block >= 0) {
        sequence->blocks.push_back(block);
        continue;
      }
      ready = running_.back().get() != sequence;
      preempt_youngest();
      if (!ready) break;
    }
    if (ready && sequence->remaining() == 1) plan.push_back({sequence, size - 1, size});
  }
}

void Scheduler::plan_prompts(std::vector<Slice>& plan, const StepCost& cost) {
  StepLoad streams;                // what is computed for those that run, at the least
  std::vector<Sequence*> runs;     // tokens that a grammar forced on them
  std::vector<Sequence*> prompts;  // or sequences that are computed again
  for (const auto& sequence : running_) {
    const int remaining = sequence->remaining();
    if (!sequence->request->started || remaining > kLongestRun) {
      if (remaining > 1) prompts.push_back(sequence.get());
    } else if (remaining > 1) {
      runs.push_back(sequence.get());
    } else {
      // One that waits for its mask may get it at any moment.
      ++streams.rows;
      ++streams.states;
      streams.positions += static_cast<double>(sequence->tokens.size());
    }
  }
  if (runs.empty() && prompts.empty()) return;
  ++turn_;
  const int room = limits_.max_batch_tokens - static_cast<int>(plan.size());
  int budget = std::min(room, rows_beside(streams, runs.empty() ? *prompts[0] : *runs[0], cost));
  const std::size_t first = plan.size();
  budget -= share_rows(runs, budget, plan);
  if (prompts.empty()) return;
  if (streams.rows == 0 && !runs.empty()) {
    for (std::size_t i = first; i < plan.size(); ++i) {
      streams.rows += plan[i].rows();
      streams.positions += static_cast<double>(plan[i].rows()) * plan[i].end;
      ++streams.states;
    }
    budget = std::min(budget, rows_beside(streams, *prompts[0], cost));
  }
  share_rows(prompts, budget, plan);
}

// Equal shares let a short prompt finish beside a long one; what one leaves the next may use.
// Returns the number of rows.
int Scheduler::share_rows(std::vector<Sequence*>& sequences, int budget, std::vector<Slice>& plan) {
  if (sequences.empty()) return 0;
  // With few rows a share may be nothing: everybody is the first some time.
  std::rotate(sequences.begin(), sequences.begin() + turn_ % sequences.size(), sequences.end());
  int left = budget;
  for (std::size_t i = 0; i < sequences.size() && left > 0; ++i) {
    Sequence* sequence = sequences[i];
    const int sharers = static_cast<int>(sequences.size() - i);
    const int share = std::min(left, std::max(kSmallestShare, left / sharers));
    const int rows = std::min(share, sequence->remaining());
    plan.push_back({sequence, sequence->computed, sequence->computed + rows});
    left -= rows;
  }
  return budget - left;
}

// How many rows such as the next ones of `prompt` the streams can bear beside them.
int Scheduler::rows_beside(const StepLoad& streams, const Sequence& prompt, const StepCost& cost) {
  const int most = limits_.max_batch_tokens;
  if (streams.rows == 0) return most;
  const double alone = cost.seconds(streams);
  if (alone <= 0.0) return kUnmeasured;
  const double limit = alone * kLongestStep * (turn_ % kTrialTurns == 0 ? kTrial : 1.0);
  int rows = 1;  // a prompt must get on
  // Growth by an eighth is finer than the measurements.
  for (int more = 2; more <= most; more += std::max(1, more / 8)) {
    StepLoad load = streams;
    load.rows += more;
    load.positions += more * (prompt.computed + 0.5 * more);
    if (cost.seconds(load) > limit) break;
    rows = more;
  }
  return rows;
}

void Scheduler::preempt_youngest() {
  Owned youngest = std::move(running_.back());
  running_.pop_back();
  release_blocks(*youngest);
  waiting_.push_front(std::move(youngest));
  ++preemptions_;
}

int Scheduler::reserve_ahead(Sequence& sequence, int count) {
  const int size = static_cast<int>(sequence.tokens.size());
  const auto room = [&] {
    return static_cast<int>(sequence.blocks.size()) * kKvBlockTokens - size;
  };
  // Each sequence may need a block to go on, or to be forked.
  while (room() < count && blocks_.available() > used_slots()) {
    sequence.blocks.push_back(blocks_.allocate());
  }
  return std::min(room(), count);
}

void Scheduler::trim() {
  for (const auto& sequence : running_) {
    const auto needed =
        static_cast<std::size_t>(blocks_for(static_cast<int>(sequence->tokens.size())));
    while (sequence->blocks.size() > needed) {
      blocks_.release({sequence->blocks.back()});
      sequence->blocks.pop_back();
    }
  }
}

void Scheduler::computed(Sequence& sequence, int end) {
  sequence.computed = end;
  while ((sequence.published + 1) * kKvBlockTokens <= sequence.computed) {
    blocks_.publish(sequence.blocks, sequence.published, sequence.tokens, sequence.owner());
    ++sequence.published;
  }
}

Sequence* Scheduler::fork(const Sequence& parent, int choice) {
  auto child = std::make_unique<Sequence>(parent);
  child->choice = choice;
  child->sampler.set_seed(parent.request->request.sampling.seed +
                          static_cast<std::uint64_t>(choice));
  Sequence* result = child.get();
  const int full = parent.computed / kKvBlockTokens;
  child->blocks.resize(full);
  for (const BlockId block : child->blocks) blocks_.share(block);
  if (parent.computed % kKvBlockTokens != 0) {
    const BlockId copy = blocks_.allocate();
    if (copy < 0) {
      release_blocks(*child);
      waiting_.push_front(std::move(child));
      return result;
    }
    kv_.copy_block(parent.blocks[full], copy);
    child->blocks.push_back(copy);
  }
  running_.push_back(std::move(child));
  return result;
}

}  // namespace sterna

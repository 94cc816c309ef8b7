#include "runtime/scheduler.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "check.h"

using namespace sterna;

namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.layers = 2;
  config.kv_heads = 1;
  config.head_dim = 4;
  return config;
}

SchedulerLimits limits(int max_batch, int rows, int blocks) {
  SchedulerLimits limits;
  limits.max_batch = max_batch;
  limits.max_batch_tokens = rows;
  limits.kv_blocks = blocks;
  return limits;
}

Sequence* add(Scheduler& scheduler, std::uint64_t id, int prompt_tokens, int choices = 1) {
  auto live = std::make_shared<LiveRequest>();
  live->request.id = id;
  live->request.choices = choices;
  live->request.prompt.assign(prompt_tokens, static_cast<TokenId>(id));
  auto sequence = std::make_unique<Sequence>(std::move(live), 0);
  Sequence* result = sequence.get();
  scheduler.enqueue(std::move(sequence));
  return result;
}

// Every finished slice gets one more token.
void finish(Scheduler& scheduler, const std::vector<Slice>& plan, TokenId next = 1) {
  for (const Slice& slice : plan) scheduler.computed(*slice.sequence, slice.end);
  for (const Slice& slice : plan) {
    if (slice.sequence->remaining() > 0) continue;
    slice.sequence->request->started = true;
    slice.sequence->tokens.push_back(next);
  }
}

// Runs a step without a model.
std::vector<Slice> step(Scheduler& scheduler, TokenId next = 1) {
  auto plan = scheduler.plan();
  finish(scheduler, plan, next);
  return plan;
}

int rows_of(const std::vector<Slice>& plan) {
  int rows = 0;
  for (const Slice& slice : plan) rows += slice.rows();
  return rows;
}

}  // namespace

TEST(a_long_prompt_is_computed_in_chunks) {
  Scheduler scheduler(small_config(), limits(4, 32, 100));
  add(scheduler, 1, 100);
  CHECK_EQ(rows_of(step(scheduler)), 32);
  CHECK_EQ(rows_of(step(scheduler)), 32);
  CHECK_EQ(rows_of(step(scheduler)), 32);
  CHECK_EQ(rows_of(step(scheduler)), 4);
  CHECK_EQ(rows_of(step(scheduler)), 1);  // decoding
}

TEST(running_streams_advance_beside_a_long_prompt) {
  Scheduler scheduler(small_config(), limits(4, 256, 1000));
  Sequence* first = add(scheduler, 1, 3);
  step(scheduler);
  add(scheduler, 2, 4000);
  for (int i = 0; i < 20; ++i) {
    const auto plan = step(scheduler);
    CHECK(plan[0].sequence == first);
    CHECK_EQ(plan[0].end - plan[0].begin, 1);
    CHECK(rows_of(plan) <= 65);
  }
}

namespace {

// A machine that reads the weights in 20 ms and computes a row in 5 ms, whichever is longer, and
// attends to a thousand positions in a millisecond.
double seconds_of(int rows, double positions) {
  return std::max(0.020, 0.005 * rows) + 1e-6 * positions;
}

StepCost measured_cost(const std::vector<int>& counts) {
  StepCost cost(1e-6);
  for (int round = 0; round < 20; ++round) {
    for (const int rows : counts)
      cost.record({rows, 10.0 * rows, 1}, seconds_of(rows, 10.0 * rows), 0.002);
  }
  return cost;
}

}  // namespace

TEST(a_long_prompt_makes_steps_less_than_twice_as_long) {
  for (const int streams : {1, 3, 8}) {
    // Learns as it goes, from what it did before.
    StepCost cost = measured_cost({streams});
    Scheduler scheduler(small_config(), limits(16, 256, 2000));
    for (int id = 1; id <= streams; ++id) add(scheduler, id, 3);
    step(scheduler);
    add(scheduler, 99, 4000);
    int rows = 0;
    int steps = 0;
    int long_steps = 0;
    double slowest = 0.0;
    while (rows < 3500) {
      const auto plan = scheduler.plan(cost);
      CHECK(plan.size() == static_cast<std::size_t>(streams) + 1);
      double positions = 0.0;
      double own = 0.0;
      for (const Slice& slice : plan) {
        positions += 1.0 * slice.rows() * slice.end;
        if (slice.sequence->request->started) own += slice.end;
      }
      const double seconds = seconds_of(rows_of(plan), positions);
      cost.record({rows_of(plan), positions, streams}, seconds, 0.002);
      const double alone = seconds_of(streams, own);
      const double ratio = (seconds + 0.002) / (alone + 0.002);
      ++steps;
      long_steps += ratio > 2.0;
      slowest = std::max(slowest, ratio);
      rows += plan.back().rows();
      finish(scheduler, plan);
    }
    // Only where it tries how much it can bear.
    CHECK(slowest < 2.6);
    CHECK(long_steps < steps / 16);
    CHECK(steps < 3500 / 2);  // and the prompt gets on
  }
}

TEST(a_long_prompt_alone_takes_all_rows) {
  const StepCost cost = measured_cost({1, 2, 4, 8, 16, 64, 256});
  Scheduler scheduler(small_config(), limits(4, 256, 1000));
  add(scheduler, 1, 4000);
  CHECK_EQ(rows_of(scheduler.plan(cost)), 256);
}

TEST(every_prompt_gets_on_when_rows_are_few) {
  const StepCost cost = measured_cost({1, 2, 4, 8, 16, 64, 256});
  Scheduler scheduler(small_config(), limits(8, 256, 2000));
  add(scheduler, 1, 3);
  step(scheduler);
  std::vector<Sequence*> prompts;
  for (int id = 2; id < 8; ++id) prompts.push_back(add(scheduler, id, 500));
  for (int i = 0; i < 12; ++i) finish(scheduler, scheduler.plan(cost));
  for (const Sequence* prompt : prompts) CHECK(prompt->computed > 0);
}

TEST(forced_tokens_of_a_stream_are_computed_at_once) {
  const StepCost cost = measured_cost({1, 2, 4, 8, 16, 64, 256});
  Scheduler scheduler(small_config(), limits(4, 256, 1000));
  Sequence* stream = add(scheduler, 1, 3);
  step(scheduler);
  for (int i = 0; i < 30; ++i) stream->tokens.push_back(5);
  add(scheduler, 2, 2000);  // and a prompt does not make that step much longer
  const auto plan = scheduler.plan(cost);
  CHECK_EQ(plan.size(), std::size_t{2});
  CHECK(plan[0].sequence == stream);
  CHECK_EQ(plan[0].rows(), stream->remaining());
  CHECK(plan[1].rows() < 40);
  CHECK_EQ(stream->blocks.size(), std::size_t{3});
}

TEST(a_short_prompt_does_not_wait_for_a_long_one) {
  Scheduler scheduler(small_config(), limits(4, 64, 1000));
  add(scheduler, 1, 2000);
  Sequence* brief = add(scheduler, 2, 20);
  step(scheduler);
  CHECK(brief->request->started);
}

TEST(no_more_sequences_run_than_the_batch_holds) {
  Scheduler scheduler(small_config(), limits(2, 64, 100));
  for (int id = 1; id <= 3; ++id) add(scheduler, id, 5);
  step(scheduler);
  CHECK_EQ(scheduler.running(), 2);
  CHECK_EQ(scheduler.waiting(), 1);
  CHECK_EQ(scheduler.remove_request(1).size(), std::size_t{1});
  step(scheduler);
  CHECK_EQ(scheduler.running(), 2);
  CHECK_EQ(scheduler.waiting(), 0);
}

TEST(the_slots_of_all_choices_are_kept_free) {
  Scheduler scheduler(small_config(), limits(4, 64, 100));
  add(scheduler, 1, 5, 3);
  add(scheduler, 2, 5, 2);
  step(scheduler);
  CHECK_EQ(scheduler.running(), 1);
}

TEST(a_fork_shares_full_blocks_and_copies_the_last) {
  Scheduler scheduler(small_config(), limits(4, 64, 100));
  Sequence* parent = add(scheduler, 1, 40, 2);
  const auto plan = scheduler.plan();
  const KvLayout& kv = scheduler.kv();
  kv.base[kv.layer_stride() + parent->blocks[2] * kv.block_stride() + 5] = std::byte{42};
  for (const Slice& slice : plan) scheduler.computed(*slice.sequence, slice.end);
  parent->request->started = true;
  Sequence* child = scheduler.fork(*parent, 1);
  CHECK_EQ(child->blocks.size(), std::size_t{3});
  CHECK_EQ(child->blocks[0], parent->blocks[0]);
  CHECK_EQ(child->blocks[1], parent->blocks[1]);
  CHECK(child->blocks[2] != parent->blocks[2]);
  CHECK(kv.base[kv.layer_stride() + child->blocks[2] * kv.block_stride() + 5] == std::byte{42});
  CHECK_EQ(scheduler.blocks().used(), 4);
  scheduler.remove_all();
  CHECK_EQ(scheduler.blocks().used(), 0);
}

TEST(a_known_prefix_is_not_computed_again) {
  Scheduler scheduler(small_config(), limits(4, 256, 100));
  add(scheduler, 7, 64);
  step(scheduler);
  scheduler.remove_request(7);
  Sequence* again = add(scheduler, 7, 64);
  // The last token is computed for its logits, and with it its whole block.
  CHECK_EQ(rows_of(step(scheduler)), 16);
  CHECK_EQ(again->request->cached_tokens, 48);
}

TEST(without_blocks_the_youngest_waits_and_comes_back) {
  Scheduler scheduler(small_config(), limits(4, 64, 4));
  Sequence* older = add(scheduler, 1, 16);
  Sequence* younger = add(scheduler, 2, 16);
  int finished = 0;
  // Each wants 16 + 40 tokens: four blocks, all there are.
  for (int i = 0; i < 400 && finished < 2; ++i) {
    step(scheduler, 1000 + i);
    for (Sequence** sequence : {&older, &younger}) {
      if (*sequence != nullptr && (*sequence)->tokens.size() >= 56) {
        scheduler.remove(*sequence);
        *sequence = nullptr;
        ++finished;
      }
    }
  }
  CHECK_EQ(finished, 2);
  CHECK(scheduler.preemptions() > 0);
  CHECK_EQ(scheduler.blocks().used(), 0);
}

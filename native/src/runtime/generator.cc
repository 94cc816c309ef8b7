#include "runtime/generator.h"

#include <algorithm>

namespace sterna {

namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

SchedulerLimits limits_of(const EngineOptions& options) {
  SchedulerLimits limits;
  limits.max_batch = options.max_batch;
  limits.max_batch_tokens = options.max_batch_tokens;
  limits.kv_blocks = (options.kv_cache_tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  limits.prefix_cache = options.prefix_cache;
  limits.kv_type = options.kv_cache_dtype;
  return limits;
}

// One row attends to one position: two multiply-adds for each element of each head and layer, at
// some 50 of them a nanosecond.
double attention_guess(const ModelConfig& config) {
  return 2.0 * config.layers * config.heads * config.head_dim / 50e9;
}

Event event_for(const Sequence& sequence, EventKind kind) {
  Event event;
  event.request_id = sequence.request->request.id;
  event.kind = kind;
  event.choice = sequence.choice;
  return event;
}

void report_cancelled(const std::vector<std::unique_ptr<Sequence>>& sequences,
                      std::vector<Event>& events) {
  for (const auto& sequence : sequences) {
    Event event = event_for(*sequence, EventKind::kFinished);
    event.finish_reason = FinishReason::kCancelled;
    // Before the fork, one sequence stands for every choice.
    for (int i = 0; i < sequence->slots(); ++i) {
      events.push_back(event);
      ++event.choice;
    }
  }
}

// Rows of an adapter that stand together share the reading of its weights.
void group_by_adapter(std::vector<Slice>& plan) {
  std::stable_sort(plan.begin(), plan.end(), [](const Slice& a, const Slice& b) {
    return a.sequence->owner() < b.sequence->owner();
  });
}

}  // namespace

Generator::Generator(std::shared_ptr<const LoadedModel> model, const Kernels& kernels,
                     const EngineOptions& options)
    : model_(std::move(model)),
      pool_(options.threads),
      scheduler_(model_->config(), limits_of(options)),
      speculator_(options, options.max_batch_tokens),
      cost_(attention_guess(model_->config())),
      transformer_(model_, kernels, pool_, options.max_batch_tokens, options.attention_tiles,
                   options.sparsity),
      chooser_(transformer_.head(), pool_, model_->config().vocab_size,
               options.max_batch + speculator_.max_rows(), options.exact_head_screening) {
  totals_.kernels = kernels.name;
  totals_.threads = pool_.size();
}

void Generator::add(std::shared_ptr<LiveRequest> request) {
  scheduler_.enqueue(std::make_unique<Sequence>(std::move(request), 0));
}

void Generator::cancel(std::uint64_t request_id, std::optional<int> choice,
                       std::vector<Event>& events) {
  report_cancelled(scheduler_.remove_request(request_id, choice), events);
}

void Generator::cancel_all(std::vector<Event>& events) {
  report_cancelled(scheduler_.remove_all(), events);
}

void Generator::drop_all() { scheduler_.remove_all(); }

void Generator::guide(std::uint64_t request_id, int choice, TokenMask mask) {
  LiveRequest* live = scheduler_.find(request_id);
  if (live == nullptr || choice < 0 || choice >= static_cast<int>(live->masks.size())) return;
  live->masks[choice] = std::move(mask);
}

bool Generator::step(std::vector<Event>& events) {
  take_forced(events);
  std::vector<Slice> plan = scheduler_.plan(cost_);
  speculator_.extend(plan, scheduler_, cost_);
  group_by_adapter(plan);
  const Clock::time_point begin = Clock::now();
  StepLoad load = compute(plan);
  const Clock::time_point computed = Clock::now();
  report_prompts(plan);
  std::vector<Draw> draws = prepare_draws(plan, events);
  if (plan.empty() && draws.empty()) return false;

  const Clock::time_point prepared = Clock::now();
  load.states = chooser_.compute(draws);
  chooser_.choose(draws);
  cost_.record(load, seconds(computed - begin), seconds(Clock::now() - prepared));
  learn(draws);
  for (Draw& each : draws) {
    if (each.counts) accept(each, events);
  }
  scheduler_.trim();
  ++totals_.steps;
  totals_.sequence_steps += static_cast<std::int64_t>(plan.size());
  return true;
}

StepLoad Generator::compute(const std::vector<Slice>& plan) {
  StepLoad load;
  std::vector<BatchRow> rows;
  for (const Slice& slice : plan) {
    const Sequence& sequence = *slice.sequence;
    for (int i = slice.begin; i < slice.end; ++i) {
      rows.push_back({sequence.tokens[i], i, sequence.blocks.data(), sequence.request->adapter,
                      sequence.request->long_text});
      load.positions += i + 1;
    }
    for (int i = 0; i < static_cast<int>(slice.draft.size()); ++i) {
      rows.push_back({slice.draft[i], slice.end + i, sequence.blocks.data(),
                      sequence.request->adapter, sequence.request->long_text});
      load.positions += slice.end + i + 1;
    }
  }
  if (!rows.empty()) transformer_.forward(rows, scheduler_.kv());
  for (const Slice& slice : plan) scheduler_.computed(*slice.sequence, slice.end);
  load.rows = static_cast<int>(rows.size());
  return load;
}

// What is asked for of every position of a prompt.
void Generator::report_prompts(const std::vector<Slice>& plan) {
  int first_row = 0;
  for (const Slice& slice : plan) {
    const LiveRequest& live = *slice.sequence->request;
    if (wants_every_state(live)) {
      if (live.request.prompt_logprobs) compute_prompt_logprobs(slice, first_row);
      if (live.request.embedding == Pooling::kMean) add_states(slice, first_row);
    }
    first_row += slice.rows();
  }
}

// Every computed position but the last predicts a token of the prompt.
void Generator::compute_prompt_logprobs(const Slice& slice, int first_row) {
  LiveRequest& live = *slice.sequence->request;
  const std::vector<TokenId>& prompt = live.request.prompt;
  const int top = live.request.top_logprobs;
  if (slice.begin == 0) {
    live.prompt_logprobs.assign(1, {prompt[0], 0.0f});
    live.prompt_top_logprobs.assign(top > 0 ? 1 : 0, {});
  }
  const int vocab = model_->config().vocab_size;
  const int last = std::min(slice.end, static_cast<int>(prompt.size()) - 1);
  for (int i = slice.begin; i < last; i += chooser_.rows()) {
    std::vector<const float*> states;
    for (int j = i; j < std::min(i + chooser_.rows(), last); ++j) {
      states.push_back(transformer_.hidden(first_row + j - slice.begin));
    }
    const float* logits = chooser_.all_logits(states);
    for (std::size_t j = 0; j < states.size(); ++j) {
      const LogProbabilities logprobs(logits + j * vocab, vocab);
      const TokenId next = prompt[i + j + 1];
      live.prompt_logprobs.push_back({next, logprobs.of(next)});
      if (top > 0) live.prompt_top_logprobs.push_back(logprobs.top(top));
    }
  }
}

// In order of position and in double precision, so that chunks do not matter.
void Generator::add_states(const Slice& slice, int first_row) {
  std::vector<double>& sum = slice.sequence->request->state_sum;
  if (slice.begin == 0) sum.assign(model_->config().hidden_size, 0.0);
  for (int i = slice.begin; i < slice.end; ++i) {
    const float* state = transformer_.hidden(first_row + i - slice.begin);
    for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += state[d];
  }
}

std::vector<Draw> Generator::prepare_draws(const std::vector<Slice>& plan,
                                           std::vector<Event>& events) {
  std::vector<Draw> draws;
  const auto add = [&](Sequence* sequence, const float* state) {
    draws.push_back({sequence, state, event_for(*sequence, EventKind::kToken)});
  };
  int next_row = 0;
  for (const Slice& slice : plan) {
    const int row = next_row + slice.end - slice.begin - 1;
    next_row += slice.rows();
    if (slice.sequence->remaining() > 0) continue;  // more of the prompt is to come
    const float* state = transformer_.hidden(row);
    if (slice.sequence->request->request.embedding) {
      report_embedding(slice.sequence, state, events);
      continue;
    }
    for (Sequence* sequence : start(slice.sequence, events)) {
      if (sequence->request->request.guided) {
        sequence->held.assign(state, state + model_->config().hidden_size);
      } else {
        add(sequence, state);
      }
    }
    for (const TokenId token : slice.draft) {
      const int place = draws.back().place + 1;
      draws.back().draft = token;
      add(slice.sequence, transformer_.hidden(row + place));
      draws.back().place = place;
    }
  }
  for (const auto& sequence : scheduler_.batch()) {
    if (!sequence->held.empty() && sequence->may_draw() && !sequence->may_jump()) {
      add(sequence.get(), sequence->held.data());
    }
  }
  return draws;
}

// The sequences that the state of a computed slice belongs to: itself and, when the prompt has
// just been completed, the other choices.
std::vector<Sequence*> Generator::start(Sequence* sequence, std::vector<Event>& events) {
  std::vector<Sequence*> sequences = {sequence};
  if (sequence->request->started) return sequences;
  report_start(*sequence, events);
  for (int choice = 1; choice < sequence->request->request.choices; ++choice) {
    Sequence* sibling = scheduler_.fork(*sequence, choice);
    // One that found no block waits, and is computed again.
    if (sibling->remaining() == 0) sequences.push_back(sibling);
  }
  return sequences;
}

void Generator::report_embedding(Sequence* sequence, const float* state,
                                 std::vector<Event>& events) {
  const LiveRequest& live = *sequence->request;
  report_start(*sequence, events);
  Event event = event_for(*sequence, EventKind::kEmbedded);
  if (live.request.embedding == Pooling::kMean) {
    const double count = static_cast<double>(live.request.prompt.size());
    for (const double sum : live.state_sum) {
      event.embedding.push_back(static_cast<float>(sum / count));
    }
  } else {
    event.embedding.assign(state, state + model_->config().hidden_size);
  }
  events.push_back(std::move(event));
  finish(sequence, FinishReason::kStop, 0, events);
}

void Generator::report_start(Sequence& sequence, std::vector<Event>& events) {
  LiveRequest& live = *sequence.request;
  live.started = true;
  Event event = event_for(sequence, EventKind::kStarted);
  event.prompt_tokens = static_cast<int>(live.request.prompt.size());
  event.cached_tokens = live.cached_tokens;
  event.queue_seconds = seconds(live.admitted - live.submitted);
  event.prefill_seconds = seconds(Clock::now() - live.admitted);
  event.prompt_logprobs = std::move(live.prompt_logprobs);
  event.prompt_top_logprobs = std::move(live.prompt_top_logprobs);
  events.push_back(std::move(event));
  totals_.prompt_tokens += static_cast<std::int64_t>(live.request.prompt.size());
  totals_.cached_tokens += live.cached_tokens;
}

void Generator::learn(const std::vector<Draw>& draws) {
  for (std::size_t i = 0; i < draws.size();) {
    const std::size_t first = i++;
    int accepted = 0;
    for (; i < draws.size() && draws[i].place > 0; ++i) accepted += draws[i].counts;
    const int drafted = static_cast<int>(i - first - 1);
    if (drafted > 0) speculator_.learn(*draws[first].sequence, drafted, accepted);
  }
}

void Generator::accept(Draw& draw, std::vector<Event>& events) {
  Sequence* sequence = draw.sequence;
  // A draft that came true was computed at its place.
  if (draw.place > 0) scheduler_.computed(*sequence, static_cast<int>(sequence->tokens.size()));
  append(sequence, std::move(draw.event), events);
}

// Takes the tokens that leave no choice before the step computes them, all in one go.
void Generator::take_forced(std::vector<Event>& events) {
  std::vector<Sequence*> jumping;  // a sequence that ends leaves the batch
  for (const auto& sequence : scheduler_.batch()) {
    if (sequence->may_jump()) jumping.push_back(sequence.get());
  }
  for (Sequence* sequence : jumping) {
    for (bool goes_on = true; goes_on && sequence->may_jump();) {
      Event event = event_for(*sequence, EventKind::kToken);
      event.token = sequence->forced();
      if (!stops(sequence->request->request, event.token)) sequence->sampler.accept(event.token);
      goes_on = append(sequence, std::move(event), events);
    }
  }
}

bool Generator::append(Sequence* sequence, Event event, std::vector<Event>& events) {
  const Request& request = sequence->request->request;
  const TokenId token = event.token;
  ++totals_.generated_tokens;
  sequence->held.clear();
  // Where a mask allows nothing else, a stop token comes even before min_tokens.
  if (stops(request, token)) {
    finish(sequence, FinishReason::kStop, token, events);
    return false;
  }
  sequence->tokens.push_back(token);
  ++sequence->generated;
  events.push_back(std::move(event));
  if (sequence->generated < request.max_tokens) return true;
  finish(sequence, FinishReason::kLength, 0, events);
  return false;
}

void Generator::finish(Sequence* sequence, FinishReason reason, TokenId token,
                       std::vector<Event>& events) {
  Event event = event_for(*sequence, EventKind::kFinished);
  event.finish_reason = reason;
  event.token = token;
  events.push_back(std::move(event));
  scheduler_.remove(sequence);
}

void Generator::fill(EngineStats& stats) const {
  stats = totals_;
  stats.running = scheduler_.running();
  stats.waiting = scheduler_.waiting();
  stats.kv_cache_dtype = scheduler_.kv().type;
  stats.kv_cache_bytes = static_cast<std::int64_t>(scheduler_.kv().total_bytes());
  stats.kv_blocks_total = scheduler_.blocks().total();
  stats.kv_blocks_used = scheduler_.blocks().used();
  stats.kv_blocks_cached = scheduler_.blocks().cached();
  stats.preemptions = scheduler_.preemptions();
  stats.drafted_tokens = speculator_.drafted();
  stats.accepted_tokens = speculator_.accepted();
  stats.screened_states = chooser_.screened_states();
  stats.rescored_tokens = chooser_.rescored_tokens();
}

}  // namespace sterna

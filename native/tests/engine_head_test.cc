// An engine that screens the output head says what one says that does not.
#include "engine_harness.h"

namespace sterna {
namespace {

using namespace test;

std::shared_ptr<const Model> model_with(HeadLayout layout) {
  TinyShape shape;
  shape.vocab = 1000;
  shape.head_layout = layout;
  return make_tiny_model(shape);
}

// Greedy and sampled, cut off and not, penalized, with log-probabilities, several choices.
std::vector<Request> some_requests() {
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    Request request = make_request(i + 1, some_prompt(i, 5 + i), 24);
    SamplingParams& sampling = request.sampling;
    sampling.seed = 100 + i;
    if (i % 4 != 0) sampling.temperature = 0.9f;
    if (i % 4 == 1) sampling.top_k = 30;
    if (i % 4 == 2) sampling.min_p = 0.05f;
    if (i % 4 == 3) sampling.top_p = 0.9f;
    if (i % 3 == 1) sampling.repetition_penalty = 1.2f;
    if (i % 6 == 5) sampling.logit_bias = {{17, 4.0f}, {40, -9.0f}};
    if (i == 7) request.top_logprobs = 3;
    if (i == 8) request.prompt_logprobs = true;
    if (i == 9) request.choices = 2;
    request.min_tokens = 8;
    request.stop_tokens = {3, 500, 501, 502};
    requests.push_back(request);
  }
  return requests;
}

struct Outcome {
  std::vector<Event> events;  // by request and choice
  EngineStats stats;
};

Outcome outcome(const std::shared_ptr<const Model>& model, EngineOptions options) {
  options.threads = 2;
  const auto engine = Engine::create(model, options);
  std::vector<Event> events;
  int choices = 0;
  for (const Request& request : some_requests()) {
    engine->submit(request);
    choices += request.choices;
  }
  CHECK(collect(*engine, events, finished_choices(choices)));
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::pair(a.request_id, a.choice) < std::pair(b.request_id, b.choice);
  });
  return {std::move(events), engine->stats()};
}

void check_same(const Outcome& expected, const Outcome& actual) {
  CHECK_EQ(expected.events.size(), actual.events.size());
  for (std::size_t i = 0; i < std::min(expected.events.size(), actual.events.size()); ++i) {
    const Event& a = expected.events[i];
    const Event& b = actual.events[i];
    CHECK(a.kind == b.kind && a.token == b.token && a.finish_reason == b.finish_reason);
    CHECK_EQ(a.logprob, b.logprob);
    CHECK_EQ(a.top_logprobs.size(), b.top_logprobs.size());
    CHECK_EQ(a.prompt_logprobs.size(), b.prompt_logprobs.size());
    for (std::size_t p = 0; p < std::min(a.prompt_logprobs.size(), b.prompt_logprobs.size()); ++p) {
      CHECK_EQ(a.prompt_logprobs[p].logprob, b.prompt_logprobs[p].logprob);
    }
  }
}

TEST(screening_changes_no_answer) {
  const auto plain = model_with(HeadLayout::kPlain);
  const auto split = model_with(HeadLayout::kSplit);
  const Outcome expected = outcome(plain, {});
  CHECK_EQ(expected.stats.screened_states, 0);
  CHECK(expected.events.size() > 100);
  const Outcome screened = outcome(split, {});
  check_same(expected, screened);
  CHECK(screened.stats.screened_states > 50);
  CHECK(screened.stats.rescored_tokens > screened.stats.screened_states);
  EngineOptions off;
  off.exact_head_screening = false;
  const Outcome whole = outcome(split, off);
  check_same(expected, whole);
  CHECK_EQ(whole.stats.screened_states, 0);
  EngineOptions drafts;
  drafts.speculation = Speculation::kAlways;
  check_same(expected, outcome(split, drafts));
}

TEST(a_small_head_stays_in_one_piece) {
  EngineOptions options;
  CHECK_EQ(outcome(model_with(HeadLayout::kAuto), options).stats.screened_states, 0);
}

}  // namespace
}  // namespace sterna

// Speculation changes when tokens come, never which.
#include <algorithm>
#include <map>
#include <random>
#include <tuple>
#include <vector>

#include "check.h"
#include "engine_harness.h"

using namespace sterna;
using namespace sterna::test;

namespace {

// All that a choice reports, to compare with ==.
struct Report {
  Tokens tokens;
  std::vector<float> logprobs;
  std::vector<std::vector<std::pair<TokenId, float>>> top;
  FinishReason reason = FinishReason::kNone;
  TokenId last = 0;

  bool operator==(const Report&) const = default;
};
using Reports = std::map<std::pair<std::uint64_t, int>, Report>;

Reports reports_of(const std::vector<Event>& events) {
  Reports reports;
  for (const Event& event : events) {
    Report& report = reports[{event.request_id, event.choice}];
    if (event.kind == EventKind::kToken) {
      CHECK(report.reason == FinishReason::kNone);
      report.tokens.push_back(event.token);
      report.logprobs.push_back(event.logprob);
      report.top.emplace_back();
      for (const TokenLogprob& each : event.top_logprobs) {
        report.top.back().emplace_back(each.token, each.logprob);
      }
    } else if (event.kind == EventKind::kFinished) {
      report.reason = event.finish_reason;
      report.last = event.token;
    }
  }
  return reports;
}

// A text that repeats itself, with some noise.
Tokens repetitive_prompt(std::mt19937& random, int length) {
  Tokens phrase(3 + random() % 9);
  for (TokenId& token : phrase) token = static_cast<TokenId>(random() % 96);
  Tokens prompt;
  while (static_cast<int>(prompt.size()) < length) {
    prompt.push_back(random() % 12 == 0 ? static_cast<TokenId>(random() % 96)
                                        : phrase[prompt.size() % phrase.size()]);
  }
  return prompt;
}

std::vector<Request> random_requests(int seed, int count, int most_choices) {
  std::mt19937 random(seed);
  const auto one_in = [&random](int n) { return random() % n == 0; };
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    const int length = 1 + static_cast<int>(random() % 90);
    Request request = make_request(i, repetitive_prompt(random, length));
    request.max_tokens = 1 + static_cast<int>(random() % 60);
    request.choices = 1 + static_cast<int>(random() % most_choices);
    SamplingParams& sampling = request.sampling;
    // Low temperatures and large biases make a random model repeat itself.
    if (one_in(2)) sampling.temperature = 0.05f + 0.1f * static_cast<float>(random() % 12);
    sampling.seed = random();
    if (one_in(3)) sampling.top_p = 0.8f;
    if (one_in(3)) sampling.top_k = 3;
    if (one_in(4)) sampling.min_p = 0.2f;
    if (one_in(4)) sampling.repetition_penalty = 1.3f;
    if (one_in(4)) sampling.frequency_penalty = 0.2f;
    if (one_in(4)) sampling.presence_penalty = -0.5f;
    if (one_in(2)) {
      const TokenId base = static_cast<TokenId>(random() % 90);
      for (int j = 0; j < 3; ++j) sampling.logit_bias.emplace_back(base + j, 4.0f);
    }
    if (one_in(2)) request.stop_tokens = {static_cast<TokenId>(random() % 96)};
    if (one_in(3)) request.min_tokens = static_cast<int>(random() % 20);
    request.top_logprobs = one_in(2) ? static_cast<int>(random() % 4) : -1;
    requests.push_back(std::move(request));
  }
  return requests;
}

Reports run_all(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Event> events;
  int choices = 0;
  for (const Request& request : requests) {
    choices += request.choices;
    engine.submit(request);
  }
  CHECK(collect(engine, events, finished_choices(choices)));
  return reports_of(events);
}

EngineOptions with(Speculation speculation, int max_draft_tokens = 8) {
  EngineOptions options;
  options.speculation = speculation;
  options.max_draft_tokens = max_draft_tokens;
  return options;
}

// A greedy answer that goes round in circles: what speculation is for.
Request repetitive_request(std::uint64_t id, int max_tokens) {
  Request request = make_request(id, {}, max_tokens);
  for (int i = 0; i < 40; ++i) request.prompt.push_back(10 + i % 5);
  for (int i = 0; i < 3; ++i) request.sampling.logit_bias.emplace_back(20 + i, 6.0f);
  return request;
}

}  // namespace

TEST(answers_are_the_same_with_and_without_drafts) {
  EngineStats stats;
  for (int seed = 0; seed < 12; ++seed) {
    const auto requests = random_requests(seed, 10, 3);
    const Reports plain = run_all(*make_engine(with(Speculation::kOff)), requests);
    for (const int most : {1, 3, 8, 40}) {
      EngineOptions options = with(Speculation::kAlways, most);
      options.threads = 1 + seed % 3;
      options.max_batch = 4 + seed % 13;
      auto engine = make_engine(options);
      CHECK(run_all(*engine, requests) == plain);
      CHECK(run_all(*engine, requests) == plain);  // with a warm prefix cache
      CHECK(becomes_idle(*engine));
      stats.drafted_tokens += engine->stats().drafted_tokens;
      stats.accepted_tokens += engine->stats().accepted_tokens;
    }
    CHECK(run_all(*make_engine(with(Speculation::kAuto)), requests) == plain);
  }
  // Both outcomes were tried.
  CHECK(stats.accepted_tokens > 1000);
  CHECK(stats.drafted_tokens - stats.accepted_tokens > 1000);
}

TEST(answers_are_the_same_when_memory_is_short) {
  std::int64_t preemptions = 0;
  std::int64_t accepted = 0;
  for (int seed = 100; seed < 108; ++seed) {
    const auto requests = random_requests(seed, 12, 2);
    const Reports plain = run_all(*make_engine(with(Speculation::kOff)), requests);
    EngineOptions options = with(Speculation::kAlways, 12);
    options.kv_cache_tokens = 256;
    options.max_batch = 5;
    options.max_batch_tokens = 24;
    auto engine = make_engine(options);
    CHECK(run_all(*engine, requests) == plain);
    CHECK(becomes_idle(*engine));
    preemptions += engine->stats().preemptions;
    accepted += engine->stats().accepted_tokens;
  }
  CHECK(preemptions > 0);
  CHECK(accepted > 0);
}

TEST(drafts_save_steps) {
  const Request request = repetitive_request(1, 100);
  auto plain = make_engine(with(Speculation::kOff));
  auto drafting = make_engine(with(Speculation::kAlways));
  CHECK(answer(*plain, request) == answer(*drafting, request));
  CHECK_EQ(plain->stats().drafted_tokens, 0);
  CHECK_EQ(plain->stats().steps, 100);
  CHECK(drafting->stats().steps < 60);
  CHECK_EQ(drafting->stats().generated_tokens, 100);
  CHECK(drafting->stats().steps + drafting->stats().accepted_tokens == 100);
}

TEST(rejected_drafts_are_not_found_in_the_prefix_cache) {
  auto engine = make_engine(with(Speculation::kAlways, 40));
  auto plain = make_engine(with(Speculation::kOff));
  for (int seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Request request = make_request(1, repetitive_prompt(random, 40 + seed), 60);
    request.sampling.temperature = 1.0f;
    request.sampling.seed = seed;
    const Tokens first = answer(*engine, request);
    // A second turn finds the blocks of the first.
    request.id = 2;
    request.prompt.insert(request.prompt.end(), first.begin(), first.end());
    request.prompt.push_back(5);
    const auto events = run(*engine, request);
    CHECK(events[0].cached_tokens >= static_cast<int>(request.prompt.size() - 1) / 16 * 16 - 16);
    CHECK((answers_of(events)[{2, 0}]) == answer(*plain, request));
  }
}

TEST(a_cancelled_request_takes_its_drafts_with_it) {
  auto engine = make_engine(with(Speculation::kAlways));
  for (int i = 0; i < 30; ++i) {
    Request request = repetitive_request(i, 180);
    request.choices = 1 + i % 3;
    engine->submit(request);
    std::vector<Event> events;
    CHECK(collect(*engine, events,
                  [&](const std::vector<Event>& all) { return static_cast<int>(all.size()) > i; }));
    if (i % 2 == 0 && request.choices > 1) engine->cancel(i, 1);
    engine->cancel(i);
    CHECK(becomes_idle(*engine));
    engine->drain_outbox();
  }
}

TEST(the_number_of_drafts_is_checked) {
  CHECK_THROWS(make_engine(with(Speculation::kAuto, 0)), ErrorCode::kInvalidArgument);
  CHECK_THROWS(make_engine(with(Speculation::kAuto, 65)), ErrorCode::kInvalidArgument);
}

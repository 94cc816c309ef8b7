// Requests whose tokens are guided by masks.
#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "check.h"
#include "engine_harness.h"

using namespace sterna;
using namespace sterna::test;

namespace {

std::vector<std::uint32_t> allow(const Tokens& tokens) {
  std::vector<std::uint32_t> mask(3, 0);
  for (const TokenId token : tokens) mask[token / 32] |= 1u << (token % 32);
  return mask;
}

const std::vector<std::uint32_t> kAnything(3, ~0u);

// Answers every token of a guided request with the mask for the next one.
template <typename MaskFor>
std::vector<Event> run_guided(Engine& engine, const Request& request, MaskFor mask_for) {
  engine.submit(request);
  std::vector<int> given(request.choices, 0);
  for (int i = 0; i < request.choices; ++i) engine.guide(request.id, i, 0, mask_for(0));
  std::vector<Event> events;
  CHECK(collect(engine, events, [&](const std::vector<Event>& all) {
    std::vector<int> tokens(request.choices, 0);
    for (const Event& event : all) tokens[event.choice] += event.kind == EventKind::kToken;
    for (int i = 0; i < request.choices; ++i) {
      if (tokens[i] == given[i]) continue;
      given[i] = tokens[i];
      engine.guide(request.id, i, given[i], mask_for(given[i]));
    }
    return finished_choices(request.choices)(all);
  }));
  return events;
}

}  // namespace

TEST(a_guided_answer_takes_only_allowed_tokens) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(8, 20), 16);
  request.guided = true;
  request.choices = 3;
  request.sampling.temperature = 1.0f;
  const auto events = run_guided(
      *engine, request, [](int index) { return allow({(7 * index) % 96, (7 * index + 1) % 96}); });
  for (const auto& [key, tokens] : answers_of(events)) {
    CHECK_EQ(tokens.size(), std::size_t{16});
    for (int i = 0; i < 16; ++i) {
      CHECK(tokens[i] == (7 * i) % 96 || tokens[i] == (7 * i + 1) % 96);
    }
  }
  CHECK(becomes_idle(*engine));
}

TEST(a_mask_that_allows_everything_changes_nothing) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(9, 33), 24);
  const Tokens free = answer(*engine, request);
  request.guided = true;
  const auto events = run_guided(*engine, request, [](int) { return kAnything; });
  CHECK((answers_of(events)[{1, 0}]) == free);
}

TEST(others_go_on_while_a_guided_request_waits) {
  auto engine = make_engine();
  Request guided = make_request(1, some_prompt(1, 10), 5);
  guided.guided = true;
  engine->submit(guided);  // and its mask does not come
  CHECK_EQ(answer(*engine, make_request(2, some_prompt(2, 10), 30)).size(), std::size_t{30});
  engine->guide(1, 0, 3, kAnything);   // another position
  engine->guide(1, 9, 0, kAnything);   // another choice
  engine->guide(77, 0, 0, kAnything);  // another request
  engine->cancel(1);
  CHECK(becomes_idle(*engine));
}

TEST(a_stop_token_ends_a_guided_answer_when_nothing_else_is_allowed) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(1, 10), 20);
  request.guided = true;
  request.stop_tokens = {5};
  request.min_tokens = 10;
  const auto events =
      run_guided(*engine, request, [](int index) { return index < 3 ? kAnything : allow({5}); });
  CHECK_EQ((answers_of(events)[{1, 0}]).size(), std::size_t{3});
  CHECK(events.back().finish_reason == FinishReason::kStop);
}

TEST(masks_of_the_wrong_size_or_without_a_token_are_refused) {
  auto engine = make_engine();
  CHECK_THROWS(engine->guide(1, 0, 0, {1u}), ErrorCode::kInvalidArgument);
  CHECK_THROWS(engine->guide(1, 0, 0, {0u, 0u, 0u}), ErrorCode::kInvalidArgument);
}

namespace {

// A grammar of sorts: at some positions there is no choice.
constexpr int kRun = 7;
bool is_forced(int index) { return index % (kRun + 2) < kRun; }
TokenId forced_token(int index) { return (5 * index + 3) % 96; }
std::vector<std::uint32_t> mask_at(int index) {
  return is_forced(index) ? allow({forced_token(index)})
                          : allow({index % 96, (index + 31) % 96, (index + 62) % 96});
}

struct Told {
  std::vector<std::tuple<int, TokenId, float>> tokens;  // with choice and log-probability
  std::vector<std::tuple<int, FinishReason, TokenId>> ends;
  bool operator==(const Told&) const = default;
};

Told told_by(const std::vector<Event>& events) {
  Told told;
  for (const Event& event : events) {
    if (event.kind == EventKind::kToken) {
      told.tokens.emplace_back(event.choice, event.token, event.logprob);
    } else if (event.kind == EventKind::kFinished) {
      told.ends.emplace_back(event.choice, event.finish_reason, event.token);
    }
  }
  // Each choice on its own is in order.
  const auto by_choice = [](const auto& a, const auto& b) {
    return std::get<0>(a) < std::get<0>(b);
  };
  std::stable_sort(told.tokens.begin(), told.tokens.end(), by_choice);
  std::stable_sort(told.ends.begin(), told.ends.end(), by_choice);
  return told;
}

// As run_guided with mask_at, but gives what is forced in one run with the mask behind it.
std::vector<Event> run_jumping(Engine& engine, const Request& request) {
  engine.submit(request);
  std::vector<int> given(request.choices, 0);  // the position of the last mask
  const auto give = [&](int choice, int index) {
    Tokens forced;
    for (; is_forced(index + static_cast<int>(forced.size()));) {
      forced.push_back(forced_token(index + static_cast<int>(forced.size())));
    }
    given[choice] = index + static_cast<int>(forced.size());
    engine.guide(request.id, choice, index, mask_at(given[choice]), forced);
  };
  for (int i = 0; i < request.choices; ++i) give(i, 0);
  std::vector<Event> events;
  CHECK(collect(engine, events, [&](const std::vector<Event>& all) {
    std::vector<int> tokens(request.choices, 0);
    for (const Event& event : all) tokens[event.choice] += event.kind == EventKind::kToken;
    for (int i = 0; i < request.choices; ++i) {
      if (tokens[i] > given[i]) give(i, tokens[i]);
    }
    return finished_choices(request.choices)(all);
  }));
  return events;
}

}  // namespace

TEST(forced_runs_answer_like_masks_of_one_token) {
  for (int seed = 0; seed < 40; ++seed) {
    EngineOptions options;
    options.kv_cache_tokens = seed % 4 == 0 ? 256 : 0;  // now and then sequences are preempted
    options.max_batch = 6;
    Request request = make_request(1, some_prompt(seed, 1 + seed % 40), 1 + 3 * seed % 70);
    request.guided = true;
    request.choices = 1 + seed % 6;
    request.sampling.temperature = seed % 3 == 0 ? 0.0f : 1.0f;
    request.sampling.seed = seed;
    request.sampling.repetition_penalty = seed % 5 == 0 ? 1.5f : 1.0f;
    request.top_logprobs = seed % 7 == 0 ? 2 : -1;
    if (seed % 2 == 0) request.stop_tokens = {forced_token(20), 31 + 16};
    request.min_tokens = seed % 4 == 2 ? 30 : 0;
    auto plain = make_engine(options);
    auto jumping = make_engine(options);
    const auto expected = told_by(run_guided(*plain, request, mask_at));
    CHECK(told_by(run_jumping(*jumping, request)) == expected);
    CHECK(becomes_idle(*jumping));
  }
}

TEST(a_forced_run_takes_one_step) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(3, 20), 90);
  request.guided = true;
  run_jumping(*engine, request);
  CHECK_EQ(engine->stats().generated_tokens, 90);
  // For each nine tokens the row of the token before the run, the run, the row of the free token
  // behind it, and two steps for free tokens whose masks came late.
  CHECK(engine->stats().steps <= 1 + 5 * 10);
  // A run that reaches the end of the answer is not even computed.
  const std::int64_t before = engine->stats().steps;
  request.max_tokens = kRun;
  run_jumping(*engine, request);
  CHECK_EQ(engine->stats().steps, before + 1);
}

TEST(a_request_can_be_cancelled_in_a_forced_run) {
  EngineOptions options;
  options.max_batch_tokens = 32;
  auto engine = make_engine(options);
  for (int i = 0; i < 20; ++i) {
    Request request = make_request(i, some_prompt(i, 10), 200);
    request.guided = true;
    engine->submit(request);
    engine->guide(i, 0, 0, kAnything, Tokens(150, 7));
    std::vector<Event> events;
    CHECK(collect(*engine, events, [](const std::vector<Event>& all) { return !all.empty(); }));
    engine->cancel(i);
    CHECK(becomes_idle(*engine));
    engine->drain_outbox();
  }
}

TEST(forced_tokens_outside_of_the_vocabulary_are_refused) {
  auto engine = make_engine();
  CHECK_THROWS(engine->guide(1, 0, 0, kAnything, {96}), ErrorCode::kInvalidArgument);
  CHECK_THROWS(engine->guide(1, 0, 0, kAnything, {5, -1}), ErrorCode::kInvalidArgument);
}

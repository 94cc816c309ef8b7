// Requests whose tokens are guided by masks.
#include <cstdint>
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

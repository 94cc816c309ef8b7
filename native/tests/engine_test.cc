// The engine as its users see it: requests in, events out.
#include "sterna/engine.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <vector>

#include "check.h"
#include "engine_harness.h"
#include "tiny_model.h"

using namespace sterna;
using namespace sterna::test;

TEST(events_come_in_order) {
  auto engine = make_engine();
  const auto events = run(*engine, make_request(7, some_prompt(1, 20), 5));
  CHECK_EQ(events.size(), std::size_t{7});
  CHECK(events[0].kind == EventKind::kStarted);
  CHECK_EQ(events[0].prompt_tokens, 20);
  CHECK_EQ(events[0].cached_tokens, 0);
  for (int i = 1; i <= 5; ++i) CHECK(events[i].kind == EventKind::kToken);
  CHECK(events[6].kind == EventKind::kFinished);
  CHECK(events[6].finish_reason == FinishReason::kLength);
  for (const Event& event : events) CHECK_EQ(event.request_id, std::uint64_t{7});
}

TEST(a_stop_token_ends_the_answer_and_is_not_part_of_it) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(2, 10), 12);
  const Tokens whole = answer(*engine, request);
  request.stop_tokens = {whole[4]};
  const std::size_t first = std::find(whole.begin(), whole.end(), whole[4]) - whole.begin();
  const auto events = run(*engine, request);
  CHECK(events.back().finish_reason == FinishReason::kStop);
  CHECK_EQ(events.back().token, whole[4]);
  CHECK_EQ((answers_of(events)[{1, 0}].size()), first);
  request.min_tokens = 10;
  CHECK((answers_of(run(*engine, request))[{1, 0}].size()) >= 10);
}

TEST(the_answer_does_not_depend_on_what_else_runs) {
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    Request request = make_request(i, some_prompt(i, 3 + 17 * (i % 5)), 60);
    if (i % 2 == 1) {
      request.sampling.temperature = 0.9f;
      request.sampling.top_p = 0.95f;
      request.sampling.seed = 100 + i;
    }
    requests.push_back(request);
  }
  Answers alone;
  for (const Request& request : requests) {
    EngineOptions options;
    options.threads = 1;
    options.prefix_cache = false;
    auto engine = make_engine(options);
    alone[{request.id, 0}] = answer(*engine, request);
  }
  for (const auto& [threads, rows, batch, kv] : std::vector<std::array<int, 4>>{
           {1, 16, 4, 0}, {2, 32, 16, 0}, {3, 256, 3, 0}, {2, 64, 8, 256}}) {
    EngineOptions options;
    options.threads = threads;
    options.max_batch_tokens = rows;
    options.max_batch = batch;
    options.kv_cache_tokens = kv;  // the last is so small that sequences are preempted
    auto engine = make_engine(options);
    for (int round = 0; round < 2; ++round) {  // the second with a warm prefix cache
      std::vector<Event> events;
      for (const Request& request : requests) engine->submit(request);
      CHECK(collect(*engine, events, finished_choices(12)));
      CHECK(answers_of(events) == alone);
    }
    if (kv != 0) CHECK(engine->stats().preemptions > 0);
    CHECK(becomes_idle(*engine));
  }
}

TEST(a_repeated_prompt_comes_from_the_cache) {
  auto engine = make_engine();
  const Request request = make_request(1, some_prompt(3, 100));
  const Tokens first = answer(*engine, request);
  const auto events = run(*engine, request);
  CHECK_EQ(events[0].cached_tokens, 96);
  CHECK((answers_of(events)[{1, 0}]) == first);
  // A growing conversation hits its own answer, too.
  Request next = request;
  next.prompt.insert(next.prompt.end(), first.begin(), first.end());
  next.prompt.resize(120, 5);
  CHECK_EQ(run(*engine, next)[0].cached_tokens, 96);
  Request longer = make_request(1, some_prompt(3, 100), 40);
  const Tokens answer40 = answer(*engine, longer);
  longer.prompt.insert(longer.prompt.end(), answer40.begin(), answer40.end());
  CHECK_EQ(run(*engine, longer)[0].cached_tokens, 128);
}

TEST(choices_share_the_prompt_and_differ_by_seed) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(4, 37), 16);
  request.sampling.temperature = 1.5f;
  request.sampling.seed = 10;
  request.choices = 4;
  const auto events = run(*engine, request);
  int started = 0;
  for (const Event& event : events) started += event.kind == EventKind::kStarted;
  CHECK_EQ(started, 1);
  const Answers together = answers_of(events);
  CHECK_EQ(together.size(), std::size_t{4});
  for (int choice = 0; choice < 4; ++choice) {
    Request single = request;
    single.choices = 1;
    single.sampling.seed = 10 + choice;
    CHECK(answer(*engine, single) == together.at({1, choice}));
  }
  CHECK(together.at({1, 0}) != together.at({1, 1}));
  CHECK(becomes_idle(*engine));
}

TEST(logprobs_belong_to_the_tokens) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(5, 9), 6);
  request.top_logprobs = 3;
  const auto events = run(*engine, request);
  for (const Event& event : events) {
    if (event.kind != EventKind::kToken) continue;
    CHECK_EQ(event.top_logprobs.size(), std::size_t{3});
    CHECK_EQ(event.top_logprobs[0].token, event.token);  // greedy
    CHECK_EQ(event.top_logprobs[0].logprob, event.logprob);
    CHECK(event.logprob <= 0.0f);
    CHECK(event.top_logprobs[1].logprob <= event.logprob);
  }
}

TEST(prompt_logprobs_do_not_depend_on_chunks_or_cache) {
  std::vector<std::vector<float>> results;
  for (const int rows : {16, 256}) {
    EngineOptions options;
    options.max_batch_tokens = rows;
    options.max_batch = 2;
    auto engine = make_engine(options);
    Request request = make_request(1, some_prompt(6, 75), 2);
    for (int round = 0; round < 2; ++round) {
      request.prompt_logprobs = true;
      const auto events = run(*engine, request);
      CHECK_EQ(events[0].prompt_logprobs.size(), std::size_t{75});
      CHECK_EQ(events[0].cached_tokens, 0);
      std::vector<float> logprobs;
      for (std::size_t i = 0; i < events[0].prompt_logprobs.size(); ++i) {
        CHECK_EQ(events[0].prompt_logprobs[i].token, request.prompt[i]);
        logprobs.push_back(events[0].prompt_logprobs[i].logprob);
      }
      results.push_back(logprobs);
    }
  }
  for (const auto& result : results) CHECK(result == results[0]);
}

TEST(cancelling_frees_everything) {
  EngineOptions options;
  options.max_batch = 2;
  auto engine = make_engine(options);
  for (int id = 0; id < 6; ++id) {
    Request request = make_request(id, some_prompt(id, 30), 200);
    request.choices = 1 + id % 2;
    engine->submit(request);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  for (int id = 0; id < 6; ++id) engine->cancel(id);
  engine->cancel(999);
  std::vector<Event> events;
  CHECK(collect(*engine, events, finished_choices(9)));
  CHECK(becomes_idle(*engine));
  CHECK_EQ(answer(*engine, make_request(1, some_prompt(1, 5), 3)).size(), std::size_t{3});
}

TEST(random_cancellations_leave_the_others_alone) {
  auto engine = make_engine();
  Answers alone;
  for (int id = 0; id < 24; ++id) {
    alone[{id, 0}] = answer(*engine, make_request(id, some_prompt(id % 7, 20 + id), 40));
  }
  std::mt19937 random(9);
  std::vector<Event> events;
  std::vector<bool> cancelled(24, false);
  for (int id = 0; id < 24; ++id) {
    engine->submit(make_request(id, some_prompt(id % 7, 20 + id), 40));
    if (random() % 3 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      const int victim = random() % (id + 1);
      engine->cancel(victim);
      cancelled[victim] = true;
    }
  }
  CHECK(collect(*engine, events, finished_choices(24)));
  const Answers answers = answers_of(events);
  for (int id = 0; id < 24; ++id) {
    if (!cancelled[id]) CHECK(answers.at({id, 0}) == alone.at({id, 0}));
  }
  CHECK(becomes_idle(*engine));
}

TEST(the_queue_is_bounded) {
  EngineOptions options;
  options.max_batch = 1;
  options.max_queue = 2;
  auto engine = make_engine(options);
  for (int id = 0; id < 3; ++id) engine->submit(make_request(id, some_prompt(id, 30), 200));
  CHECK_THROWS(engine->submit(make_request(3, some_prompt(3, 5))), ErrorCode::kQueueFull);
  engine->cancel(0);
  std::vector<Event> events;
  CHECK(collect(*engine, events, finished_choices(1)));
  engine->submit(make_request(4, some_prompt(4, 5)));
}

TEST(bad_requests_are_refused_by_field) {
  auto engine = make_engine();
  const auto refused = [&](auto change, ErrorCode code, const std::string& field) {
    Request request = make_request(1, some_prompt(1, 5));
    change(request);
    try {
      engine->submit(request);
      CHECK(!"accepted");
    } catch (const Error& error) {
      CHECK(error.code() == code);
      CHECK_EQ(error.field(), field);
    }
  };
  const auto invalid = ErrorCode::kInvalidArgument;
  refused([](Request& r) { r.prompt.clear(); }, invalid, "prompt");
  refused([](Request& r) { r.prompt[2] = 96; }, invalid, "prompt");
  refused([](Request& r) { r.prompt[2] = -1; }, invalid, "prompt");
  refused([](Request& r) { r.max_tokens = 0; }, invalid, "max_tokens");
  refused([](Request& r) { r.min_tokens = -1; }, invalid, "min_tokens");
  refused([](Request& r) { r.choices = 0; }, invalid, "choices");
  refused([](Request& r) { r.choices = 17; }, invalid, "choices");
  refused([](Request& r) { r.top_logprobs = 101; }, invalid, "top_logprobs");
  refused([](Request& r) { r.sampling.temperature = NAN; }, invalid, "temperature");
  refused([](Request& r) { r.sampling.temperature = -0.1f; }, invalid, "temperature");
  refused([](Request& r) { r.sampling.top_p = 0.0f; }, invalid, "top_p");
  refused([](Request& r) { r.sampling.min_p = 1.5f; }, invalid, "min_p");
  refused([](Request& r) { r.sampling.top_k = -1; }, invalid, "top_k");
  refused([](Request& r) { r.sampling.repetition_penalty = 0.0f; }, invalid, "repetition_penalty");
  refused([](Request& r) { r.sampling.frequency_penalty = INFINITY; }, invalid,
          "frequency_penalty");
  refused([](Request& r) { r.sampling.logit_bias = {{96, 1.0f}}; }, invalid, "logit_bias");
  refused([](Request& r) { r.sampling.logit_bias = {{1, NAN}}; }, invalid, "logit_bias");
  refused([](Request& r) { r.max_tokens = 252; }, ErrorCode::kContextLength, "prompt");
  refused([](Request& r) { r.max_tokens = INT32_MAX; }, ErrorCode::kContextLength, "prompt");
}

TEST(the_whole_context_can_be_used) {
  auto engine = make_engine();
  CHECK_EQ(answer(*engine, make_request(1, some_prompt(1, 1), 255)).size(), std::size_t{255});
  CHECK_EQ(answer(*engine, make_request(1, some_prompt(1, 255), 1)).size(), std::size_t{1});
}

TEST(stopping_ends_live_requests_as_cancelled) {
  auto engine = make_engine();
  for (int id = 0; id < 4; ++id) {
    Request request = make_request(id, some_prompt(id, 30), 200);
    request.guided = id < 2;  // and no mask comes; the others may be done before the stop
    engine->submit(request);
  }
  engine->stop();
  engine->stop();
  int finished = 0;
  int cancelled = 0;
  for (const Event& event : engine->drain_outbox()) {
    finished += event.kind == EventKind::kFinished;
    cancelled += event.finish_reason == FinishReason::kCancelled;
  }
  CHECK_EQ(finished, 4);
  CHECK(cancelled >= 2);
  CHECK_THROWS(engine->submit(make_request(9, some_prompt(9, 5))), ErrorCode::kShuttingDown);
}

TEST(an_idle_engine_uses_no_cpu) {
  auto engine = make_engine();
  answer(*engine, make_request(1, some_prompt(1, 5)));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  timespec before, after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  CHECK((after.tv_sec - before.tv_sec) + (after.tv_nsec - before.tv_nsec) * 1e-9 < 0.03);
}

TEST(a_llama_generates_too) {
  test::TinyShape shape;
  shape.bitnet = false;
  auto engine = Engine::create(test::make_tiny_model(shape), {});
  CHECK_EQ(answer(*engine, make_request(1, some_prompt(1, 40), 10)).size(), std::size_t{10});
}

TEST(one_choice_can_be_cancelled) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(1, 20), 200);
  request.choices = 3;
  request.sampling.temperature = 1.0f;
  const Answers whole = answers_of(run(*engine, request));
  std::vector<Event> events;
  engine->submit(request);
  CHECK(collect(*engine, events, [](const std::vector<Event>& all) { return all.size() > 4; }));
  engine->cancel(1, 1);
  CHECK(collect(*engine, events, finished_choices(3)));
  Answers answers = answers_of(events);
  CHECK(answers.at({1, 0}) == whole.at({1, 0}));
  CHECK(answers.at({1, 2}) == whole.at({1, 2}));
  // The others' 200 tokens may have come before the cancellation did.
  const bool cut = answers[{1, 1}].size() < 200;
  for (const Event& event : events) {
    if (event.kind != EventKind::kFinished || event.choice != 1) continue;
    CHECK(event.finish_reason == (cut ? FinishReason::kCancelled : FinishReason::kLength));
  }
  CHECK(becomes_idle(*engine));
}

TEST(embeddings_do_not_depend_on_chunks_or_cache) {
  for (const Pooling pooling : {Pooling::kLast, Pooling::kMean}) {
    std::vector<std::vector<float>> vectors;
    for (const int rows : {20, 256}) {
      EngineOptions options;
      options.max_batch_tokens = rows;
      options.max_batch = 2;
      auto engine = make_engine(options);
      Request request = make_request(1, some_prompt(3, 70));
      request.embedding = pooling;
      for (int round = 0; round < 2; ++round) {
        const auto events = run(*engine, request);
        CHECK_EQ(events.size(), std::size_t{3});
        CHECK(events[1].kind == EventKind::kEmbedded);
        CHECK(events[2].finish_reason == FinishReason::kStop);
        vectors.push_back(events[1].embedding);
      }
      CHECK(becomes_idle(*engine));
    }
    CHECK_EQ(vectors[0].size(), std::size_t{64});
    for (const auto& vector : vectors) CHECK(vector == vectors[0]);
  }
}

TEST(prompt_logprobs_list_what_was_likely) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(6, 30), 1);
  request.prompt_logprobs = true;
  request.top_logprobs = 2;
  const auto events = run(*engine, request);
  const auto& tops = events[0].prompt_top_logprobs;
  CHECK_EQ(tops.size(), std::size_t{30});
  CHECK_EQ(tops[0].size(), std::size_t{0});
  for (std::size_t i = 1; i < tops.size(); ++i) {
    CHECK_EQ(tops[i].size(), std::size_t{2});
    CHECK(tops[i][0].logprob >= events[0].prompt_logprobs[i].logprob);
  }
}

// Adapters as users of the engine see them: chosen per request, mixed with others and with none.
#include <array>

#include "adapter_support.h"
#include "engine_harness.h"
#include "sterna/adapter.h"

using namespace sterna;
using namespace sterna::test;

namespace {

std::shared_ptr<const Adapter> make_adapter(unsigned seed,
                                            AdapterPrecision precision = AdapterPrecision::kF32) {
  const TempDir dir;
  write_adapter(dir.path(), {.rank = 4, .size = 0.2f, .seed = seed}, tiny()->config());
  return Adapter::open(dir.path(), *tiny(), precision);
}

Request adapted(Request request, std::shared_ptr<const Adapter> adapter) {
  request.adapter = std::move(adapter);
  return request;
}

}  // namespace

TEST(each_request_answers_with_its_own_adapter_in_any_company) {
  const std::array<std::shared_ptr<const Adapter>, 4> adapters = {
      nullptr, make_adapter(1), make_adapter(2, AdapterPrecision::kQ8), nullptr};
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    Request request = make_request(i, some_prompt(i / 4, 3 + 17 * (i % 5)), 60);
    if (i % 2 == 1) {
      request.sampling.temperature = 0.9f;
      request.sampling.seed = 100 + i;
    }
    requests.push_back(adapted(request, adapters[i % 4]));
  }
  Answers alone;
  for (const Request& request : requests) {
    EngineOptions options;
    options.threads = 1;
    options.prefix_cache = false;
    options.speculation = Speculation::kOff;
    options.sparsity = false;
    auto engine = make_engine(options);
    alone[{request.id, 0}] = answer(*engine, request);
  }
  for (const auto& [threads, rows, batch, kv] : std::vector<std::array<int, 4>>{
           {1, 16, 4, 0}, {2, 32, 16, 0}, {3, 256, 3, 0}, {2, 64, 8, 256}}) {
    for (const Speculation speculation : {Speculation::kOff, Speculation::kAlways}) {
      EngineOptions options;
      options.threads = threads;
      options.max_batch_tokens = rows;
      options.max_batch = batch;
      options.kv_cache_tokens = kv;  // the last is so small that sequences are preempted
      options.speculation = speculation;
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
}

TEST(the_prefix_cache_belongs_to_an_adapter) {
  auto engine = make_engine();
  const auto one = make_adapter(1);
  const auto two = make_adapter(2);
  const Request base = make_request(1, some_prompt(3, 100));
  const auto cached = [&](const Request& request) {
    return run(*engine, request)[0].cached_tokens;
  };
  CHECK_EQ(cached(base), 0);
  CHECK_EQ(cached(adapted(base, one)), 0);
  CHECK_EQ(cached(adapted(base, two)), 0);
  CHECK_EQ(cached(base), 96);
  CHECK_EQ(cached(adapted(base, one)), 96);
  CHECK_EQ(cached(adapted(base, two)), 96);
  // The same files loaded again are another adapter.
  CHECK_EQ(cached(adapted(base, make_adapter(1))), 0);
}

TEST(choices_keep_the_adapter) {
  const auto adapter = make_adapter(1);
  Request request = adapted(make_request(1, some_prompt(4, 37), 16), adapter);
  request.sampling.temperature = 1.5f;
  request.sampling.seed = 10;
  request.choices = 3;
  auto engine = make_engine();
  const Answers together = answers_of(run(*engine, request));
  request.choices = 1;
  for (int choice = 0; choice < 3; ++choice) {
    request.sampling.seed = 10 + static_cast<std::uint64_t>(choice);
    CHECK(answer(*engine, request) == together.at({1, choice}));
  }
}

TEST(an_adapter_lives_as_long_as_its_requests) {
  auto engine = make_engine();
  auto adapter = make_adapter(1);
  const Request request = make_request(1, some_prompt(5, 20), 100);
  const Tokens expected = answer(*engine, adapted(request, adapter));
  const std::weak_ptr<const Adapter> watch = adapter;
  // From here on only the engine holds the adapter.
  engine->submit(adapted(request, std::move(adapter)));
  std::vector<Event> events;
  CHECK(collect(*engine, events, finished_choices(1)));
  CHECK((answers_of(events)[{1, 0}]) == expected);
  for (int i = 0; i < 500 && !watch.expired(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(watch.expired());
}

TEST(an_embedding_sees_the_adapter) {
  auto engine = make_engine();
  Request request = make_request(1, some_prompt(6, 20));
  request.embedding = Pooling::kMean;
  const auto vector_of = [&](std::shared_ptr<const Adapter> adapter) {
    for (Event& event : run(*engine, adapted(request, std::move(adapter)))) {
      if (event.kind == EventKind::kEmbedded) return event.embedding;
    }
    return std::vector<float>();
  };
  CHECK(!vector_of(nullptr).empty());
  CHECK(vector_of(nullptr) != vector_of(make_adapter(1)));
}

TEST(an_adapter_of_another_shape_is_refused) {
  const auto other = make_tiny_model({.layers = 3});
  const TempDir dir;
  write_adapter(dir.path(), AdapterShape{}, other->config());
  const auto adapter = Adapter::open(dir.path(), *other, AdapterPrecision::kF32);
  auto engine = make_engine();
  CHECK_ERROR(engine->submit(adapted(make_request(1, some_prompt(1, 5)), adapter)),
              ErrorCode::kInvalidArgument, "adapter");
}

// What tests of the engine share: a tiny model, requests, and ways to wait for events.
#pragma once

#include <poll.h>

#include <chrono>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "sterna/engine.h"
#include "tiny_model.h"

namespace sterna::test {

using Tokens = std::vector<TokenId>;
using Answers = std::map<std::pair<std::uint64_t, int>, Tokens>;  // by request and choice

inline const std::shared_ptr<const Model>& tiny() {
  static const auto model = make_tiny_model();
  return model;
}

inline std::unique_ptr<Engine> make_engine(EngineOptions options = {}) {
  if (options.threads == 0) options.threads = 2;
  return Engine::create(tiny(), options);
}

inline Request make_request(std::uint64_t id, Tokens prompt, int max_tokens = 12) {
  Request request;
  request.id = id;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0.0f;
  return request;
}

inline Tokens some_prompt(int seed, int length) {
  std::mt19937 random(seed);
  Tokens tokens(length);
  for (auto& token : tokens) token = static_cast<TokenId>(random() % 96);
  return tokens;
}

// Waits for events until `done` says so; false after ten seconds.
template <typename Done>
bool collect(Engine& engine, std::vector<Event>& events, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done(events)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    pollfd descriptor{engine.outbox_fd(), POLLIN, 0};
    poll(&descriptor, 1, 100);
    for (Event& event : engine.drain_outbox()) events.push_back(std::move(event));
  }
  return true;
}

inline auto finished_choices(int count) {
  return [count](const std::vector<Event>& events) {
    int finished = 0;
    for (const Event& event : events) finished += event.kind == EventKind::kFinished;
    return finished >= count;
  };
}

inline Answers answers_of(const std::vector<Event>& events) {
  Answers answers;
  for (const Event& event : events) {
    if (event.kind == EventKind::kToken) {
      answers[{event.request_id, event.choice}].push_back(event.token);
    }
  }
  return answers;
}

inline std::vector<Event> run(Engine& engine, const Request& request) {
  std::vector<Event> events;
  engine.submit(request);
  CHECK(collect(engine, events, finished_choices(request.choices)));
  return events;
}

inline Tokens answer(Engine& engine, const Request& request) {
  return answers_of(run(engine, request))[{request.id, 0}];
}

inline bool becomes_idle(Engine& engine) {
  for (int i = 0; i < 500; ++i) {
    const EngineStats stats = engine.stats();
    if (stats.running == 0 && stats.waiting == 0 && stats.kv_blocks_used == 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace sterna::test

// A step that fails ends every request, and the engine goes on.
#include <atomic>
#include <cstdlib>
#include <new>

#include "engine_harness.h"

namespace {

// Allocations of this many bytes fail, on every thread but that of the tests; 0: none.
std::atomic<std::size_t> refused_size{0};
thread_local bool is_test_thread = false;

}  // namespace

// Out of line: GCC would warn that what malloc gave meets operator delete.
__attribute__((noinline)) void* operator new(std::size_t size) {
  if (size == refused_size.load() && size != 0 && !is_test_thread) throw std::bad_alloc();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
// Sanitizers want every form that ends in the same operator delete.
__attribute__((noinline)) void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace sterna::test {
namespace {

bool has_failed(const std::vector<Event>& events, std::uint64_t id) {
  for (const Event& event : events) {
    if (event.request_id == id && event.kind == EventKind::kFailed) return true;
  }
  return false;
}

TEST(requests_that_find_no_memory_fail_and_their_places_are_free_again) {
  is_test_thread = true;
  const auto engine = make_engine({.max_batch = 2, .max_queue = 0});
  const Tokens prompt = some_prompt(1, 137);
  const Tokens expected = answer(*engine, make_request(1, prompt));
  // One that runs, and waits for its mask, and one whose tokens cannot be copied when it is taken.
  std::vector<Event> events;
  Request running = make_request(2, some_prompt(2, 9));
  running.guided = true;
  engine->submit(std::move(running));
  CHECK(collect(*engine, events, [](const auto& seen) { return !seen.empty(); }));
  Request request = make_request(3, prompt);
  refused_size = prompt.size() * sizeof(TokenId);
  engine->submit(std::move(request));
  const bool both =
      collect(*engine, events, [](const auto& e) { return has_failed(e, 2) && has_failed(e, 3); });
  refused_size = 0;
  CHECK(both);
  CHECK(becomes_idle(*engine));
  for (const Event& event : events) {
    if (event.kind != EventKind::kFailed) continue;
    CHECK(event.error_code == ErrorCode::kInternal);
    CHECK(event.error_message.find("out of memory") != std::string::npos);
  }
  // Their ids and both places are free.
  CHECK(answer(*engine, make_request(3, prompt)) == expected);
  engine->submit(make_request(2, prompt));
  engine->submit(make_request(4, prompt));
  events.clear();
  CHECK(collect(*engine, events, finished_choices(2)));
}

}  // namespace
}  // namespace sterna::test

#include "base/thread_pool.h"

#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"

using sterna::Team;
using sterna::ThreadPool;

namespace {

constexpr double kMuch = 1e9;  // work that is always shared

double process_cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

}  // namespace

TEST(every_item_is_visited_once) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (const int count : {0, 1, 2, 7, 64, 1000}) {
      std::vector<int> split(count, 0), shares(count, 0);
      pool.split(count, kMuch, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) ++split[i];
      });
      pool.run_team(kMuch, [&](const Team& team) {
        const Team::Share share = team.share(count);
        for (int i = share.begin; i < share.end; ++i) ++shares[i];
      });
      CHECK(split == std::vector<int>(count, 1));
      CHECK(shares == std::vector<int>(count, 1));
    }
  }
}

TEST(results_of_one_job_are_seen_by_the_next) {
  ThreadPool pool(4);
  std::vector<int> values(64, 0);
  for (int round = 0; round < 5000; ++round) {
    // Each worker reads what another one wrote.
    std::vector<int> next(values.size());
    pool.split(64, kMuch, [&](int begin, int end) {
      for (int i = begin; i < end; ++i) next[i] = values[(i + 17) % 64] + 1;
    });
    values.swap(next);
  }
  CHECK(values == std::vector<int>(64, 5000));
}

TEST(a_team_meets_at_every_barrier) {
  for (const int threads : {2, 3, 5, 8}) {
    ThreadPool pool(threads);
    std::vector<int> values(64, 0);
    std::vector<int> next(values.size());
    for (int job = 0; job < 3; ++job) {
      pool.run_team(kMuch, [&](const Team& team) {
        CHECK_EQ(team.size(), threads);
        const Team::Share share = team.share(64);
        for (int round = 0; round < 200; ++round) {
          // Each worker reads what another one wrote before the barrier, and may not overwrite it
          // before all have read.
          for (int i = share.begin; i < share.end; ++i) next[i] = values[(i + 17) % 64] + 1;
          team.sync();
          for (int i = share.begin; i < share.end; ++i) values[i] = next[i];
          team.sync();
        }
      });
    }
    CHECK(values == std::vector<int>(64, 600));
  }
}

TEST(a_team_for_little_work_is_the_calling_thread) {
  ThreadPool pool(3);
  const auto caller = std::this_thread::get_id();
  int calls = 0;
  pool.run_team(1.0, [&](const Team& team) {
    ++calls;
    CHECK_EQ(team.size(), 1);
    CHECK_EQ(team.share(7).begin, 0);
    CHECK_EQ(team.share(7).end, 7);
    team.sync();
    CHECK(std::this_thread::get_id() == caller);
  });
  CHECK_EQ(calls, 1);
}

TEST(little_work_stays_on_the_calling_thread) {
  ThreadPool pool(3);
  const auto caller = std::this_thread::get_id();
  pool.split(3, 1.0, [&](int begin, int end) {
    CHECK_EQ(begin, 0);
    CHECK_EQ(end, 3);
    CHECK(std::this_thread::get_id() == caller);
  });
}

TEST(what_a_worker_throws_comes_to_the_caller) {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int thrower = 0; thrower < threads; ++thrower) {
      std::atomic<int> finished{0};
      bool thrown = false;
      try {
        pool.run([&](int worker) {
          if (worker == thrower) throw std::runtime_error("worker");
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          ++finished;
        });
      } catch (const std::runtime_error&) {
        thrown = true;
        // Nobody works on behind the caller's back.
        CHECK_EQ(finished.load(), threads - 1);
      }
      CHECK(thrown);
    }
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    CHECK_EQ(calls.load(), threads);
  }
}

// The sanitizers' own memory leaves no room for a limit.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(threads_that_the_system_refuses_are_an_error) {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  // Room for the stacks of some threads, but not of all.
  const rlimit tight{pages * 4096 + (std::size_t{100} << 20), before.rlim_max};
  CHECK_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  std::string message;
  try {
    ThreadPool pool(512);
  } catch (const sterna::Error& error) {
    message = error.what();
    CHECK_EQ(error.field(), "threads");
  }
  setrlimit(RLIMIT_AS, &before);
  CHECK(message.find("lower threads") != std::string::npos);
  ThreadPool pool(3);
  pool.run([](int) {});
}
#endif

TEST(an_idle_pool_uses_no_cpu) {
  ThreadPool pool(4);
  pool.run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(process_cpu_seconds() - before < 0.03);
}

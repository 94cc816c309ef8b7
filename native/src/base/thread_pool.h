// Threads for work that is split statically: few barriers, no queue, no stealing.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>
#include <vector>

namespace sterna {

// Where threads meet: each returns from `wait` when all `size` of them have called it. Waiting
// spins for some tens of microseconds and then sleeps, so that a thread whose core another process
// has taken costs the others no processor time. May be used again at once.
class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}
  void wait();

 private:
  const int size_;
  alignas(64) std::atomic<std::int32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> phase_{0};
};

// One worker's view of a parallel section: every worker of the team runs the same steps, each on
// its own share, and they meet in `sync` where a step needs what others wrote.
class Team {
 public:
  // A team of one: the calling thread, which does everything.
  Team() = default;
  Team(int worker, int size, Barrier* barrier) : worker_(worker), size_(size), barrier_(barrier) {}

  int worker() const { return worker_; }
  int size() const { return size_; }

  // Everything that any worker wrote before is seen by all workers behind it.
  void sync() const {
    if (barrier_ != nullptr) barrier_->wait();
  }

  struct Share {
    int begin;
    int end;
  };
  // This worker's contiguous part of [0, count): parts differ by one item at most.
  Share share(int count) const {
    const auto items = static_cast<std::int64_t>(count);
    return {static_cast<int>(items * worker_ / size_),
            static_cast<int>(items * (worker_ + 1) / size_)};
  }

 private:
  int worker_ = 0;
  int size_ = 1;
  Barrier* barrier_ = nullptr;
};

// The calling thread is worker 0, so a pool of one starts no thread at all. Workers spin for some
// tens of microseconds after each job and then sleep: an idle engine uses no CPU. Only one thread
// may call `run` and its relatives at a time.
class ThreadPool {
 public:
  // Throws Error (kInvalidArgument, threads) when the system refuses them.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls body(worker) once for every worker in [0, size()) and returns when all have returned.
  // Then throws what one of them threw.
  template <typename Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_job({[](void* context, int worker) { (*static_cast<Plain*>(context))(worker); },
             const_cast<void*>(static_cast<const void*>(&body))});
  }

  // Calls body(team) once for every worker. A single call, with a team of one, when `work`
  // (arithmetic operations between two barriers) is too little to share. No body may throw.
  template <typename Body>
  void run_team(double work, Body&& body) {
    if (size_ == 1 || work < kWorkWorthABarrier) {
      body(Team());
    } else {
      // Where one failed, the others would wait for it at the next barrier for ever.
      run([&](int worker) noexcept { body(Team(worker, size_, &barrier_)); });
    }
  }

  // Calls body(begin, end) on contiguous shares of [0, count). A single call on the calling
  // thread when `work` (arithmetic operations, all items together) is too little to share.
  template <typename Body>
  void split(int count, double work, Body&& body) {
    if (size_ == 1 || count < 2 || work < kWorkWorthWaking) {
      if (count > 0) body(0, count);
      return;
    }
    run([&](int worker) {
      const Team::Share share = Team(worker, size_, nullptr).share(count);
      if (share.begin < share.end) body(share.begin, share.end);
    });
  }

 private:
  // A core does some 50 operations a nanosecond. A barrier of threads that are at work costs half
  // a microsecond; to start them costs a few microseconds, and far more when they sleep.
  static constexpr double kWorkWorthABarrier = 100e3;
  static constexpr double kWorkWorthWaking = 400e3;

  struct Job {
    void (*call)(void* context, int worker) = nullptr;
    void* context = nullptr;
  };

  void run_job(Job job);
  void call_job(int worker) noexcept;
  void work(int worker);
  void stop() noexcept;

  const int size_;
  Job job_;
  Barrier barrier_;
  alignas(64) std::atomic<std::uint32_t> generation_{0};  // a change means a new job
  alignas(64) std::atomic<std::int32_t> unfinished_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // of the first worker that failed
  std::vector<std::thread> threads_;
};

}  // namespace sterna

// A fork-join pool for work that is split statically: few barriers, no queue, no stealing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace sterna {

// The calling thread is worker 0, so a pool of one starts no thread at all. Workers spin for some
// tens of microseconds after each job, about the gap between two operators of a layer, and then
// sleep: an idle engine uses no CPU. Only one thread may call `run` and its relatives at a time.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls body(worker) once for every worker in [0, size()) and returns when all have returned.
  template <typename Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_job({[](void* context, int worker) { (*static_cast<Plain*>(context))(worker); },
             const_cast<void*>(static_cast<const void*>(&body))});
  }

  // Calls body(begin, end) on contiguous shares of [0, count). A single call on the calling
  // thread when `work` (arithmetic operations, all items together) is too little to share.
  template <typename Body>
  void split(int count, double work, Body&& body) {
    if (size_ == 1 || count < 2 || work < kWorkWorthABarrier) {
      if (count > 0) body(0, count);
      return;
    }
    run([&](int worker) {
      const int begin = static_cast<int>(static_cast<std::int64_t>(count) * worker / size_);
      const int end = static_cast<int>(static_cast<std::int64_t>(count) * (worker + 1) / size_);
      if (begin < end) body(begin, end);
    });
  }

  // As `split`, but worker w takes items w, w + size(), ...: for items of growing cost.
  template <typename Body>
  void stride(int count, double work, Body&& body) {
    if (size_ == 1 || count < 2 || work < kWorkWorthABarrier) {
      for (int item = 0; item < count; ++item) body(item);
      return;
    }
    run([&](int worker) {
      for (int item = worker; item < count; item += size_) body(item);
    });
  }

 private:
  // A barrier costs a few microseconds; a core does some 50 operations a nanosecond.
  static constexpr double kWorkWorthABarrier = 400e3;

  struct Job {
    void (*call)(void* context, int worker) = nullptr;
    void* context = nullptr;
  };

  void run_job(Job job);
  void work(int worker);

  const int size_;
  Job job_;
  std::atomic<std::uint32_t> generation_{0};  // odd or even alike: a change means a new job
  std::atomic<std::int32_t> unfinished_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace sterna

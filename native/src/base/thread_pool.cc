#include "base/thread_pool.h"

#include <utility>

#include "base/start_thread.h"

namespace sterna {

namespace {

constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns once `value` differs from `old`: spins first, then sleeps in the kernel.
template <typename T>
void wait_while_equal(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

void Barrier::wait() {
  // The phase cannot change before this thread has arrived.
  const std::uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_while_equal(phase_, phase);
  }
}

ThreadPool::ThreadPool(int threads) : size_(threads < 1 ? 1 : threads), barrier_(size_) {
  threads_.reserve(size_ - 1);
  try {
    for (int worker = 1; worker < size_; ++worker) {
      threads_.push_back(start_thread([this, worker] { work(worker); }));
    }
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run_job(Job job) {
  job_ = job;
  if (size_ > 1) {
    unfinished_.store(size_ - 1, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  call_job(0);
  for (;;) {
    const std::int32_t left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) break;
    wait_while_equal(unfinished_, left);
  }
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void ThreadPool::call_job(int worker) noexcept {
  try {
    job_.call(job_.context, worker);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) failure_ = std::current_exception();
  }
}

void ThreadPool::work(int worker) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_while_equal(generation_, seen);
    ++seen;  // jobs never overlap, so no generation is skipped
    if (stopping_.load(std::memory_order_relaxed)) return;
    call_job(worker);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  }
}

}  // namespace sterna

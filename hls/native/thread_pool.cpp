#include "thread_pool.hpp"

#include <unistd.h>

namespace strop {
namespace native {
namespace {

constexpr uint32_t kSpinsBeforeYield = 4096;

// One look that found nothing; now and then the processor is offered to others.
inline void Idle(uint32_t &spins) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
  if (++spins % kSpinsBeforeYield == 0) std::this_thread::yield();
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) : process_(getpid()) {
  try {
    for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this] { Work(); });
  } catch (...) {
    Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { Stop(); }

bool ThreadPool::Inherited() const { return getpid() != process_; }

void ThreadPool::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread &worker : workers_) worker.join();
}

void ThreadPool::Begin() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    active_ = true;
  }
  wake_.notify_all();
}

void ThreadPool::End() { active_ = false; }

// Claim a share of the present round and run it. False if none was left.
bool ThreadPool::RunOneShare() {
  uint64_t seen = shares_.load(std::memory_order_acquire);
  for (;;) {
    const uint32_t next = seen & 0xFFFF;
    const uint32_t count = (seen >> 16) & 0xFFFF;
    if (next >= count) return false;
    if (shares_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      function_(context_, next);
      done_.fetch_add(1, std::memory_order_release);
      return true;
    }
  }
}

void ThreadPool::Run(void (*function)(void *, uint32_t), void *context, uint32_t count) {
  function_ = function;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t round = (shares_.load(std::memory_order_relaxed) >> 32) + 1;
  shares_.store((round << 32) | (uint64_t{count} << 16), std::memory_order_release);
  while (RunOneShare()) {
  }
  uint32_t spins = 0;
  while (done_.load(std::memory_order_acquire) < count) Idle(spins);
}

void ThreadPool::Work() {
  uint32_t spins = 0;
  while (!stop_) {
    if (RunOneShare()) {
      spins = 0;
    } else if (active_) {
      Idle(spins);
    } else {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return active_ || stop_; });
    }
  }
}

}  // namespace native
}  // namespace strop

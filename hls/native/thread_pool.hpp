// A fixed set of threads that run one function together and meet again: fork and join, hundreds of times a training step.
#ifndef STROP_NATIVE_THREAD_POOL_HPP
#define STROP_NATIVE_THREAD_POOL_HPP

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace strop {
namespace native {

class ThreadPool {
 public:
  // `threads` in all; the caller of Run is one of them.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  // function(context, i) for i in [0, count), i = 0 on the caller's thread; returns when all are done.
  void Run(void (*function)(void *, uint32_t), void *context, uint32_t count);

 private:
  void Work(uint32_t index);

  std::vector<std::thread> workers_;
  void (*function_)(void *, uint32_t) = nullptr;
  void *context_ = nullptr;
  uint32_t count_ = 0;
  std::atomic<uint64_t> round_{0};
  std::atomic<uint32_t> left_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
};

}  // namespace native
}  // namespace strop

#endif  // STROP_NATIVE_THREAD_POOL_HPP

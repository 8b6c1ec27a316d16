// A fixed set of threads that run one function together and meet again: fork and join, hundreds of times a training step.
//
// Shares are claimed, not assigned: a thread that the operating system has put aside is not waited for, because the others take
// what it has not begun. During a program the workers look for work without sleeping; between programs they sleep.
#ifndef STROP_NATIVE_THREAD_POOL_HPP
#define STROP_NATIVE_THREAD_POOL_HPP

#include <sys/types.h>

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
  // `threads` in all; the caller of Run is one of them. Throws std::system_error where the system has no more.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  // True in a forked child: the threads stayed in the parent, so whoever destroys this would wait for ever.
  bool Inherited() const;

  // Around a program: wake the workers, and let them sleep again.
  void Begin();
  void End();

  // function(context, i) once for each i in [0, count), on any thread; returns when all are done. count < 65536.
  void Run(void (*function)(void *, uint32_t), void *context, uint32_t count);

 private:
  void Work();
  void Stop();
  bool RunOneShare();

  std::vector<std::thread> workers_;
  const pid_t process_;
  // What a claimed share runs. Written before a round is published, read after a claim: never both at once.
  void (*function_)(void *, uint32_t) = nullptr;
  void *context_ = nullptr;
  std::atomic<uint64_t> shares_{0};  // round (32 bits), count (16), next unclaimed (16)
  std::atomic<uint32_t> done_{0};
  std::atomic<bool> active_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace native
}  // namespace strop

#endif  // STROP_NATIVE_THREAD_POOL_HPP

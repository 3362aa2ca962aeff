// A condition variable whose limits of time go by a clock that nobody sets back.
// That of the standard library goes by the wall clock on Linux, where the C library
// has no pthread_cond_clockwait (musl; glibc before 2.30).
#pragma once

#include <chrono>
#include <memory>
#include <mutex>

namespace kernel_lock {

class Condition {
 public:
  using Guard = std::unique_lock<std::mutex>;
  using Clock = std::chrono::steady_clock;

  Condition();
  ~Condition();
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void notify_one();
  void notify_all();

  template <typename Done>
  void wait(Guard& guard, Done done) {
    while (!done()) wait_once(guard);
  }

  // Returns whether it is done.
  template <typename Done>
  bool wait_for(Guard& guard, std::chrono::milliseconds time, Done done) {
    const Clock::time_point end = Clock::now() + time;
    while (!done()) {
      if (Clock::now() >= end) return false;
      wait_once_until(guard, end);
    }
    return true;
  }

 private:
  // Both may return before anything was notified.
  void wait_once(Guard& guard);
  void wait_once_until(Guard& guard, Clock::time_point end);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kernel_lock

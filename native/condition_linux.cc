#include <pthread.h>
#include <time.h>

#include "condition.h"

namespace kernel_lock {

struct Condition::State {
  pthread_cond_t condition;
};

Condition::Condition() : state_(new State) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&state_->condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

Condition::~Condition() { pthread_cond_destroy(&state_->condition); }

void Condition::notify_one() { pthread_cond_signal(&state_->condition); }
void Condition::notify_all() { pthread_cond_broadcast(&state_->condition); }

void Condition::wait_once(Guard& guard) {
  pthread_cond_wait(&state_->condition, guard.mutex()->native_handle());
}

void Condition::wait_once_until(Guard& guard, Clock::time_point end) {
  // std::chrono::steady_clock is CLOCK_MONOTONIC, in libstdc++ and libc++.
  const auto time = end.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  struct timespec until = {};
  until.tv_sec = static_cast<time_t>(seconds.count());
  until.tv_nsec = static_cast<long>(std::chrono::nanoseconds(time - seconds).count());
  pthread_cond_timedwait(&state_->condition, guard.mutex()->native_handle(), &until);
}

}  // namespace kernel_lock

// Windows takes a span of time, and macOS makes one of the wall clock's time when the wait begins.
#include <condition_variable>

#include "condition.h"

namespace kernel_lock {

struct Condition::State {
  std::condition_variable condition;
};

Condition::Condition() : state_(new State) {}
Condition::~Condition() = default;

void Condition::notify_one() { state_->condition.notify_one(); }
void Condition::notify_all() { state_->condition.notify_all(); }

void Condition::wait_once(Guard& guard) { state_->condition.wait(guard); }

void Condition::wait_once_until(Guard& guard, Clock::time_point end) {
  state_->condition.wait_for(guard, end - Clock::now());
}

}  // namespace kernel_lock

#include "wait_posix.h"

namespace kernel_lock {

void BlockingWait::time_is_up() {
  state_->last_look.store(true);
  interrupt();
}

void BlockingWait::rearm() {
  state_->last_look.store(false);
  state_->interrupted.store(false);
}

}  // namespace kernel_lock

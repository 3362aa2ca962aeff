// What the waits of the POSIX systems share.
#pragma once

#include <pthread.h>

#include <atomic>

#include "lock_file_posix.h"

namespace kernel_lock {

struct BlockingWait::State {
  std::atomic<bool> interrupted{false};
  std::atomic<bool> last_look{false};
  std::atomic<bool> blocking{false};  // pthread_kill is safe only while this holds
  pthread_t thread{};
};

}  // namespace kernel_lock

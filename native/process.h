// What the operating system does to a process: pin it, signal it, become it.
// Nothing here knows JavaScript.
#pragma once

#include <string>
#include <vector>

#include "lock.h"

namespace kernel_lock {

// A reference that goes on meaning the same process after its pid was reused.
struct Pinned {
  Handle handle = kNoHandle;
  Failure failure;
};
Pinned pin_process(int pid);
Failure signal_process(Handle process, int signal);

// Whether that failed because there is no such process, or no more.
bool is_gone(const Failure& failure);
void unpin_process(Handle process);

// Remembers what the runtime is about to change of the standard streams.
void remember_stdio();

// Replaces this process by `arguments[0]`, which inherits the lock, if there is one. Returns
// only on failure, with everything as before.
Failure replace_process(const std::vector<std::string>& arguments, Handle lock);

}  // namespace kernel_lock

// A process that must not outlive its parent.
#pragma once

#include "lock.h"

namespace kernel_lock {

// From now on, this process gets SIGKILL when `parent` ends, however that ends, and so does the
// program that it becomes (unless that changes its user). False: the parent has ended already.
bool end_with_parent(int parent);

}  // namespace kernel_lock

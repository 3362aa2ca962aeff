#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bond.h"

namespace kernel_lock {

bool end_with_parent(int parent) {
  return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent;
}

}  // namespace kernel_lock

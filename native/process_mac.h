// What process_mac.cc and facts_mac.cc share.
#pragma once

#include <sys/types.h>
// sysctl.h needs the types.
#include <sys/sysctl.h>

namespace kernel_lock {

// The kernel's entry of a process, a zombie too. Unlike proc_pidinfo with
// PROC_PIDTBSDINFO it is given of other users' processes (XNU, proc_info.c:
// CHECK_SAME_USER). Returns 0 or an error number.
int read_process(int pid, struct kinfo_proc& process);

inline int64_t start_time(const struct kinfo_proc& process) {
  const struct timeval& start = process.kp_proc.p_starttime;
  return int64_t{start.tv_sec} * 1000000 + start.tv_usec;
}

}  // namespace kernel_lock

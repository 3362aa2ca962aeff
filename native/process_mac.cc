#include "process_mac.h"

#include <errno.h>
#include <signal.h>

#include "process.h"

namespace kernel_lock {
namespace {

// macOS has no reference to a process that outlives it; pid and start time, in
// microseconds, name one all the same.
struct Identity {
  int pid;
  int64_t started_at;
};

Identity* identity_of(Handle process) { return reinterpret_cast<Identity*>(process); }

}  // namespace

int read_process(int pid, struct kinfo_proc& process) {
  int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
  size_t size = sizeof(process);
  if (::sysctl(name, 4, &process, &size, nullptr, 0) != 0) return errno;
  // Where there is no such process the call succeeds, with nothing.
  return size == sizeof(process) && process.kp_proc.p_pid == pid ? 0 : ESRCH;
}

Pinned pin_process(int pid) {
  struct kinfo_proc process = {};
  const int error = read_process(pid, process);
  if (error != 0) return {kNoHandle, {"sysctl", error}};
  return {reinterpret_cast<Handle>(new Identity{pid, start_time(process)}), {}};
}

Failure signal_process(Handle process, int signal) {
  const Identity& identity = *identity_of(process);
  struct kinfo_proc now = {};
  const int error = read_process(identity.pid, now);
  if (error != 0) return {"sysctl", error};
  if (start_time(now) != identity.started_at) return {"kill", ESRCH};
  if (::kill(identity.pid, signal) != 0) return {"kill", errno};
  return {};
}

bool is_gone(const Failure& failure) { return failure.code == ESRCH; }

void unpin_process(Handle process) { delete identity_of(process); }

}  // namespace kernel_lock

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"

// The numbers are the same on every architecture; older headers lack them.
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

namespace kernel_lock {

Pinned pin_process(int pid) {
  const auto fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return {kNoHandle, {"pidfd_open", errno}};
  return {static_cast<Handle>(fd), {}};
}

Failure signal_process(Handle process, int signal) {
  if (::syscall(SYS_pidfd_send_signal, static_cast<int>(process), signal, nullptr, 0) == 0)
    return {};
  return {"pidfd_send_signal", errno};
}

bool is_gone(const Failure& failure) { return failure.code == ESRCH; }

void unpin_process(Handle process) { ::close(static_cast<int>(process)); }

}  // namespace kernel_lock

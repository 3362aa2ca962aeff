#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "lock.h"

namespace kernel_lock {

// Only for where /proc/locks does not tell: in a PID namespace. O_APPEND means
// nothing to a reader: it tells others that look at this descriptor that the lock
// is not held, but tried.
LockState lock_state(const std::string& path) {
  const int fd =
      ::open(path.c_str(), O_RDONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return errno == ENOENT ? LockState::free : LockState::unknown;
  LockState state = LockState::unknown;
  // Shared first, so that two who ask do not take each other for holders.
  if (::flock(fd, LOCK_SH | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) state = LockState::exclusive;
  } else if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) state = LockState::shared;
  } else {
    state = LockState::free;
  }
  // close() alone frees nothing while a child between fork and exec still has a copy.
  ::flock(fd, LOCK_UN);
  ::close(fd);
  return state;
}

}  // namespace kernel_lock

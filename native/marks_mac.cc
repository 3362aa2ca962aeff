#include <fcntl.h>
#include <sys/event.h>
#include <unistd.h>

#include "marks.h"

namespace kernel_lock {
namespace {

int g_queue = -1;

}  // namespace

bool open_marks() {
  if (g_queue >= 0) return true;
  g_queue = ::kqueue();
  if (g_queue < 0) return false;
  ::fcntl(g_queue, F_SETFD, FD_CLOEXEC);
  struct kevent change;
  EV_SET(&change, 0, EVFILT_FS, EV_ADD | EV_CLEAR, 0, 0, nullptr);  // mounts
  ::kevent(g_queue, &change, 1, nullptr, 0, nullptr);
  return true;
}

// A mark is a descriptor, so one inode can have several. A link that has just taken the place of
// something else gets none: the way is incomplete then.
int add_mark(const std::string& path, const struct stat& status) {
  const int link = S_ISLNK(status.st_mode) ? O_SYMLINK : O_NOFOLLOW;
  const int fd = ::open(path.c_str(), O_EVTONLY | O_CLOEXEC | O_NONBLOCK | link);
  if (fd < 0) return kNoMark;
  struct kevent change;
  EV_SET(&change, fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_DELETE | NOTE_RENAME | NOTE_REVOKE, 0,
         nullptr);
  if (::kevent(g_queue, &change, 1, nullptr, 0, nullptr) == 0) return fd;
  ::close(fd);
  return kNoMark;
}

void remove_mark(int mark) { ::close(mark); }

std::vector<int> wait_for_marks() {
  for (;;) {
    struct kevent event;
    if (::kevent(g_queue, nullptr, 0, &event, 1, nullptr) <= 0) continue;
    if (event.filter == EVFILT_VNODE) return {static_cast<int>(event.ident)};
    return {};
  }
}

}  // namespace kernel_lock

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>

#include "marks.h"

namespace kernel_lock {
namespace {

int g_queue = -1;
int g_mounts = -1;

}  // namespace

bool open_marks() {
  if (g_queue < 0) g_queue = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (g_queue < 0) return false;
  // Without /proc, mounts go unnoticed.
  if (g_mounts < 0) g_mounts = ::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  return true;
}

// A directory is marked for its own moves alone: all else that inotify could say of it, it says of
// every file in it as well. Its deletion follows that of the lock file. A file that is unlinked
// while it is open has its link count changed, which is IN_ATTRIB. A link that has just taken the
// place of a directory gets no mark, which would not tell of its deletion: the way is incomplete
// then.
int add_mark(const std::string& path, const struct stat& status) {
  const uint32_t mask = S_ISDIR(status.st_mode) ? IN_ONLYDIR : IN_ATTRIB;
  return ::inotify_add_watch(g_queue, path.c_str(), IN_MOVE_SELF | IN_DONT_FOLLOW | mask);
}

void remove_mark(int mark) { ::inotify_rm_watch(g_queue, mark); }

std::vector<int> wait_for_marks() {
  struct pollfd sources[] = {{g_queue, POLLIN, 0}, {g_mounts, POLLPRI, 0}};
  for (;;) {
    if (::poll(sources, 2, -1) <= 0) continue;
    if (sources[1].revents != 0) return {};
    std::vector<int> marks;
    alignas(struct inotify_event) char buffer[4096];
    const ssize_t size = ::read(g_queue, buffer, sizeof(buffer));
    for (ssize_t at = 0; at < size;) {
      struct inotify_event event;
      std::memcpy(&event, buffer + at, sizeof(event));
      at += static_cast<ssize_t>(sizeof(event) + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) return {};
      if ((event.mask & IN_IGNORED) == 0) marks.push_back(event.wd);
    }
    if (!marks.empty()) return marks;
  }
}

}  // namespace kernel_lock

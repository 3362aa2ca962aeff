// What Node changed of this process is changed back before it becomes another program: the
// standard streams' O_NONBLOCK, FD_CLOEXEC on every inherited descriptor (libuv's
// uv_disable_stdio_inheritance), the ignored SIGPIPE and SIGXFSZ, and the signal mask. The soft
// limit of open files stays raised: what it was is lost, and the parent's can't be asked for.
#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "process.h"

namespace kernel_lock {
namespace {

constexpr int kStandardStreams = 3;
int g_stdio_flags[kStandardStreams] = {-1, -1, -1};

struct Pipe {
  int fd;
  uint64_t end;
  uint64_t other_end;
};

template <typename Info>
bool ask(int fd, int flavor, Info& info) {
  return ::proc_pidfdinfo(::getpid(), fd, flavor, &info, sizeof(info)) ==
         static_cast<int>(sizeof(info));
}

// Which descriptors were inherited can't be asked. Those that the runtime opens for itself are
// kqueues, which no child inherits anyway, and pipes of which it has both ends. GNU make's
// jobserver is such a pipe too, but blocks; so does one of the runtime's, which is passed on
// rather than the other lost.
std::vector<int> inherited_descriptors(int lock) {
  std::vector<int> inherited = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  const int needed = ::proc_pidinfo(::getpid(), PROC_PIDLISTFDS, 0, nullptr, 0);
  if (needed <= 0) return inherited;
  std::vector<struct proc_fdinfo> all(static_cast<size_t>(needed) / sizeof(struct proc_fdinfo));
  const int got = ::proc_pidinfo(::getpid(), PROC_PIDLISTFDS, 0, all.data(),
                                 static_cast<int>(all.size() * sizeof(struct proc_fdinfo)));
  if (got <= 0) return inherited;
  all.resize(static_cast<size_t>(got) / sizeof(struct proc_fdinfo));

  std::vector<Pipe> pipes;
  for (const struct proc_fdinfo& one : all) {
    if (one.proc_fd <= STDERR_FILENO || one.proc_fd == lock) continue;
    if (one.proc_fdtype == PROX_FDTYPE_VNODE || one.proc_fdtype == PROX_FDTYPE_SOCKET) {
      inherited.push_back(one.proc_fd);
    } else if (one.proc_fdtype == PROX_FDTYPE_PIPE) {
      struct pipe_fdinfo info = {};
      if (ask(one.proc_fd, PROC_PIDFDPIPEINFO, info))
        pipes.push_back({one.proc_fd, info.pipeinfo.pipe_handle, info.pipeinfo.pipe_peerhandle});
    }
  }
  for (const Pipe& pipe : pipes) {
    const bool both_ends = std::any_of(
        pipes.begin(), pipes.end(), [&](const Pipe& other) { return other.end == pipe.other_end; });
    const bool blocks = (::fcntl(pipe.fd, F_GETFL) & O_NONBLOCK) == 0;
    if (!both_ends || blocks) inherited.push_back(pipe.fd);
  }
  return inherited;
}

}  // namespace

void remember_stdio() {
  for (int fd = 0; fd < kStandardStreams; ++fd) g_stdio_flags[fd] = ::fcntl(fd, F_GETFL);
}

Failure replace_process(const std::vector<std::string>& arguments, Handle lock) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const int fd = static_cast<int>(lock);
  for (int stream = 0; stream < kStandardStreams; ++stream) {
    const int flags = ::fcntl(stream, F_GETFL);
    if (g_stdio_flags[stream] < 0 || flags < 0) continue;
    if (((flags ^ g_stdio_flags[stream]) & O_NONBLOCK) != 0)
      ::fcntl(stream, F_SETFL, g_stdio_flags[stream]);
  }
  // Node ignores these two for itself; handlers go by themselves, an ignored
  // signal and the mask would stay.
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  struct sigaction pipe;
  struct sigaction file_size;
  ::sigaction(SIGPIPE, &by_default, &pipe);
  ::sigaction(SIGXFSZ, &by_default, &file_size);
  sigset_t none;
  sigset_t mask;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, &mask);
  std::vector<int> kept = inherited_descriptors(fd);
  if (lock != kNoHandle) kept.push_back(fd);
  // Without the lock's descriptor, the last one, the program would run unlocked.
  int passed_on = 0;
  for (const int descriptor : kept) passed_on = ::fcntl(descriptor, F_SETFD, 0);
  if (lock == kNoHandle) passed_on = 0;

  if (passed_on == 0) ::execvp(argv[0], argv.data());

  const Failure failure{passed_on == 0 ? "execvp" : "fcntl", errno};
  for (const int descriptor : kept) ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  ::sigaction(SIGXFSZ, &file_size, nullptr);
  ::sigaction(SIGPIPE, &pipe, nullptr);
  return failure;
}

}  // namespace kernel_lock

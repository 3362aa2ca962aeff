#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
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
namespace {

constexpr int kStandardStreams = 3;
int g_stdio_flags[kStandardStreams] = {-1, -1, -1};

// Node raises the soft limit of open files to the hard one, and a program that
// uses select() fails with that. What it was is lost; the parent's is the same
// unless somebody changed it in between, which the hard limit mostly betrays.
void restore_file_limit() {
  struct rlimit own;
  struct rlimit parents;
  if (::getrlimit(RLIMIT_NOFILE, &own) != 0) return;
  if (::prlimit(::getppid(), RLIMIT_NOFILE, nullptr, &parents) != 0) return;
  if (parents.rlim_max != own.rlim_max || parents.rlim_cur >= own.rlim_cur) return;
  own.rlim_cur = parents.rlim_cur;
  ::setrlimit(RLIMIT_NOFILE, &own);
}

}  // namespace

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

void unpin_process(Handle process) { ::close(static_cast<int>(process)); }

void remember_stdio() {
  for (int fd = 0; fd < kStandardStreams; ++fd) g_stdio_flags[fd] = ::fcntl(fd, F_GETFL);
}

Failure replace_process(const std::vector<std::string>& arguments, Handle lock) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const int fd = static_cast<int>(lock);
  const int descriptor_flags = ::fcntl(fd, F_GETFD);
  struct rlimit limit;
  const bool limited = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
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
  restore_file_limit();
  pthread_sigmask(SIG_SETMASK, &none, &mask);
  ::fcntl(fd, F_SETFD, descriptor_flags & ~FD_CLOEXEC);

  ::execvp(argv[0], argv.data());

  const Failure failure{"execvp", errno};
  ::fcntl(fd, F_SETFD, descriptor_flags);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  if (limited) ::setrlimit(RLIMIT_NOFILE, &limit);
  ::sigaction(SIGXFSZ, &file_size, nullptr);
  ::sigaction(SIGPIPE, &pipe, nullptr);
  return failure;
}

}  // namespace kernel_lock

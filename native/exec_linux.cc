// What Node changed of this process is changed back before it becomes another program: the
// standard streams' O_NONBLOCK, FD_CLOEXEC on every inherited descriptor (libuv's
// uv_disable_stdio_inheritance), the ignored SIGPIPE and SIGXFSZ, the signal mask, and the
// soft limit of open files.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "process.h"

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

// Which descriptors were inherited can't be asked. Those that the runtime opens
// for itself are anonymous inodes (epoll, eventfd, io_uring) and two pipes of
// which it has both ends: one does not block, the other is libuv's lock around
// its signal handlers, whose one byte is a 42 (uv__signal_unlock). GNU make
// passes both ends of its jobserver on, with other bytes.
bool is_runtimes_pipe(const std::vector<int>& fds) {
  int reader = -1;
  bool writes = false;
  bool blocks = false;
  for (const int fd : fds) {
    const int flags = ::fcntl(fd, F_GETFL);
    blocks = blocks || (flags & O_NONBLOCK) == 0;
    if ((flags & O_ACCMODE) == O_RDONLY) reader = fd;
    writes = writes || (flags & O_ACCMODE) == O_WRONLY;
  }
  if (reader < 0 || !writes) return false;
  if (!blocks) return true;

  int copy[2];
  if (::pipe2(copy, O_CLOEXEC | O_NONBLOCK) != 0) return true;
  char bytes[2] = {};
  const bool is_lock = ::tee(reader, copy[1], sizeof(bytes), SPLICE_F_NONBLOCK) == 1 &&
                       ::read(copy[0], bytes, sizeof(bytes)) == 1 && bytes[0] == 42;
  ::close(copy[0]);
  ::close(copy[1]);
  return is_lock;
}

// The standard streams in any case, whatever can't be read of the others.
std::vector<int> inherited_descriptors(int lock) {
  std::vector<int> inherited = {0, 1, 2};
  std::map<std::string, std::vector<int>> by_target;
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return inherited;
  while (const dirent* entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == lock || fd == ::dirfd(directory)) continue;
    char target[256];
    const ssize_t size = ::readlinkat(::dirfd(directory), entry->d_name, target, sizeof(target));
    if (size > 0) by_target[std::string(target, static_cast<size_t>(size))].push_back(fd);
  }
  ::closedir(directory);

  for (const auto& [target, fds] : by_target) {
    const bool anonymous = target.rfind("anon_inode:", 0) == 0;
    const bool own_pipe = target.rfind("pipe:", 0) == 0 && is_runtimes_pipe(fds);
    if (anonymous || own_pipe) continue;
    for (const int fd : fds) {
      if (fd >= kStandardStreams) inherited.push_back(fd);
    }
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
  std::vector<int> kept = inherited_descriptors(fd);
  if (lock != kNoHandle) kept.push_back(fd);
  // Without the lock's descriptor the program would run unlocked, and without a standard stream
  // what it opens first would take that one's place.
  Failure failure{};
  for (const int descriptor : kept) {
    const bool needed = descriptor < kStandardStreams || descriptor == fd;
    if (::fcntl(descriptor, F_SETFD, 0) != 0 && needed) failure = {"fcntl", errno};
  }
  if (failure.syscall == nullptr) {
    ::execvp(argv[0], argv.data());
    failure = {"execvp", errno};
  }
  for (const int descriptor : kept) ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  if (limited) ::setrlimit(RLIMIT_NOFILE, &limit);
  ::sigaction(SIGXFSZ, &file_size, nullptr);
  ::sigaction(SIGPIPE, &pipe, nullptr);
  return failure;
}

}  // namespace kernel_lock

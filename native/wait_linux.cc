// A wait is a thread blocked in flock(2): the kernel queues the waiters first
// in first out and wakes one per hand-over. Only a signal gets a thread out of
// it; see `interrupt`.
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "wait_posix.h"

namespace kernel_lock {

namespace {

// Enough for the call chain and a record; the rest of the address range is
// never touched, so a waiter costs two or three pages.
constexpr size_t kStackBytes = size_t{256} * 1024;

struct Escape {
  sigjmp_buf point;
  volatile sig_atomic_t armed;
};

// Written before the signal can come and read in its handler only.
thread_local Escape* t_escape = nullptr;

void on_signal(int number, siginfo_t* info, void*) {
  if (info->si_code != SI_TKILL || info->si_pid != ::getpid()) {
    // Not ours: do what would have happened without us.
    ::signal(number, SIG_DFL);
    ::raise(number);
    return;
  }
  Escape* escape = t_escape;
  if (escape != nullptr && escape->armed) {
    escape->armed = 0;
    siglongjmp(escape->point, 1);
  }
}

// A real-time signal that nobody has taken. Node, V8 and libuv use none of
// them; glibc and musl keep their own below SIGRTMIN.
int claim_signal() {
  for (int number = SIGRTMAX - 1; number >= SIGRTMIN; --number) {
    struct sigaction current;
    if (::sigaction(number, nullptr, &current) != 0) continue;
    if ((current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) continue;
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;  // no SA_RESTART: a call in progress has to end
    sigfillset(&action.sa_mask);
    if (::sigaction(number, &action, nullptr) != 0) continue;
    // QEMU's programs can't send the highest ones, which the system below it lacks.
    if (pthread_kill(pthread_self(), number) == 0) return number;
    ::sigaction(number, &current, nullptr);
  }
  return 0;
}

int wait_signal() {
  static const int number = claim_signal();
  return number;
}

enum class Flock { granted, interrupted, held, failed };

// The signal may come just before the system call is entered, where it could
// not end it. So its handler jumps out instead of setting a flag, and a grant
// that the jump hides is given back by the caller, who closes the descriptor
// whatever happened. flock is async-signal-safe and nothing here has a
// destructor, so the jump is well defined.
Flock flock_until_signal(int fd, int operation, const std::atomic<bool>& interrupted,
                         Escape* escape) {
  if (sigsetjmp(escape->point, 1) != 0) return Flock::interrupted;
  escape->armed = 1;
  if (interrupted.load()) {
    escape->armed = 0;
    return Flock::interrupted;
  }
  const int result = ::flock(fd, operation);
  escape->armed = 0;
  if (result == 0) return Flock::granted;
  return errno == EINTR ? Flock::interrupted : Flock::failed;
}

// Of the file that was waited for: the jump may have hidden its grant, or come
// before the wait. Another one may have its path by now.
Flock look(int fd, int operation) {
  if (::flock(fd, operation | LOCK_NB) == 0) return Flock::granted;
  return errno == EWOULDBLOCK || errno == EINTR ? Flock::held : Flock::failed;
}

struct ThreadStart {
  void (*body)(void*);
  void* argument;
};

void* run_thread(void* raw) {
  const std::unique_ptr<ThreadStart> start(static_cast<ThreadStart*>(raw));
  ::prctl(PR_SET_NAME, "kernel-lock");  // for who looks at the threads
  start->body(start->argument);
  return nullptr;
}

}  // namespace

BlockingWait::BlockingWait() : state_(new State) {}
BlockingWait::~BlockingWait() = default;

Failure BlockingWait::start_thread(void (*body)(void*), void* argument) {
  const int number = wait_signal();
  if (number == 0) return {"sigaction", EBUSY};

  // The new thread inherits the mask: it takes our signal and no other.
  sigset_t mask;
  sigset_t previous;
  sigfillset(&mask);
  sigdelset(&mask, number);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto* start = new ThreadStart{body, argument};
  pthread_sigmask(SIG_SETMASK, &mask, &previous);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, run_thread, start);
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    delete start;
    return {"pthread_create", error};
  }
  return {};
}

Outcome BlockingWait::acquire(const std::string& path, Mode mode) {
  const int operation = mode == Mode::shared ? LOCK_SH : LOCK_EX;
  Escape escape = {};
  t_escape = &escape;
  state_->thread = pthread_self();
  state_->blocking.store(true);
  Outcome outcome{Status::unsafe, kNoHandle, {}};
  for (int round = 0; round < kMaxReplacements; ++round) {
    OpenFile file;
    Outcome opened = open_lock_file(path, file);
    if (opened.status != Status::acquired) {
      outcome = opened;
      break;
    }
    Flock result = flock_until_signal(file.fd, operation, state_->interrupted, &escape);
    if (result == Flock::interrupted && state_->last_look.load()) {
      result = look(file.fd, operation);
    }
    if (result == Flock::granted) {
      if (adopt(file, path, opened)) {
        outcome = opened;
        break;
      }
    } else if (result == Flock::failed) {
      outcome = {Status::failed, kNoHandle, {"flock", errno}};
    } else {
      const bool held = result == Flock::held;
      outcome = {held ? Status::held : Status::interrupted, kNoHandle, {}};
    }
    release(file.fd);
    if (result != Flock::granted) break;
  }
  state_->blocking.store(false);
  t_escape = nullptr;
  return outcome;
}

void BlockingWait::interrupt() {
  state_->interrupted.store(true);
  if (state_->blocking.load()) pthread_kill(state_->thread, wait_signal());
}

}  // namespace kernel_lock

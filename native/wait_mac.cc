// A wait is a thread blocked in flock(2): XNU queues the callers first in first
// out and wakes one per unlock (11417.101, kern_lockf.c: lf_setlock, lf_wakelock
// with F_WAKE1_SAFE). kqueue's NOTE_FUNLOCK comes at every unlock too, by close
// and by exit as well (kpi_vfs.c: VNOP_ADVLOCK), but to all who watch: a herd
// that races anew each time, in no order. Only a signal gets a thread out of
// flock; see `interrupt`.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <memory>

#include "wait_posix.h"

namespace kernel_lock {

namespace {

// Enough for the call chain and a record; the rest of the address range is
// never touched.
constexpr size_t kStackBytes = size_t{256} * 1024;

// A thread of ours has a value there. A thread_local would be allocated on
// first use, which a signal handler must not do.
pthread_key_t waiter_key() {
  static const pthread_key_t key = [] {
    pthread_key_t created;
    pthread_key_create(&created, nullptr);
    return created;
  }();
  return key;
}

// In a waiting thread it has done its work by coming: flock returned EINTR.
void on_signal(int number) {
  if (pthread_getspecific(waiter_key()) != nullptr) return;
  // Not ours: do what would have happened without us.
  ::signal(number, SIG_DFL);
  ::raise(number);
}

// There are no real-time signals. SIGEMT is left over from the PDP-11: nothing
// sends it, and Node has no name for it, so that no program listens to it.
int claim_signal() {
  struct sigaction current;
  if (::sigaction(SIGEMT, nullptr, &current) != 0) return 0;
  if ((current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) return 0;
  waiter_key();  // the handler must not be the one to create it
  struct sigaction action = {};
  action.sa_handler = on_signal;  // no SA_RESTART: a call in progress has to end
  sigfillset(&action.sa_mask);
  return ::sigaction(SIGEMT, &action, nullptr) == 0 ? SIGEMT : 0;
}

int wait_signal() {
  static const int number = claim_signal();
  return number;
}

// XNU leaves the waiters behind the one that it woke hanging on that one's
// lock, readers behind a reader too: they would sleep until it lets go. To let
// go and ask again wakes the next, who does the same.
bool let_readers_in(int fd) {
  ::flock(fd, LOCK_UN);
  return ::flock(fd, LOCK_SH | LOCK_NB) == 0;
}

struct ThreadStart {
  void (*body)(void*);
  void* argument;
};

void* run_thread(void* raw) {
  const std::unique_ptr<ThreadStart> start(static_cast<ThreadStart*>(raw));
  pthread_setspecific(waiter_key(), start.get());
  start->body(start->argument);
  return nullptr;
}

// Node unloads an addon with the last worker that used it; the thread and the
// handler stay. Linux is told so when the addon is linked (binding.gyp).
void stay_loaded() {
  static const bool pinned = [] {
    Dl_info self;
    return ::dladdr(reinterpret_cast<const void*>(&run_thread), &self) != 0 &&
           ::dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;
  }();
  static_cast<void>(pinned);
}

}  // namespace

BlockingWait::BlockingWait() : state_(new State) {}
BlockingWait::~BlockingWait() = default;

Failure BlockingWait::start_thread(void (*body)(void*), void* argument) {
  stay_loaded();
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
  state_->thread = pthread_self();
  for (int round = 0; round < kMaxReplacements; ++round) {
    OpenFile file;
    Outcome opened = open_lock_file(path, file);
    if (opened.status != Status::acquired) return opened;
    state_->blocking.store(true);
    const bool called_off = state_->interrupted.load();
    int error = called_off ? EINTR : ::flock(file.fd, operation) == 0 ? 0 : errno;
    state_->blocking.store(false);
    if (error == EINTR && state_->last_look.load()) {
      // Of the file that was waited for: another one may have its path by now.
      error = ::flock(file.fd, operation | LOCK_NB) == 0 ? 0 : errno;
    }
    if (error == 0 && mode == Mode::shared && !let_readers_in(file.fd)) {
      // Not with this descriptor: it has been granted a lock, and looks like a
      // holder's from then on (facts_mac.cc).
      ::close(file.fd);
      --round;
      continue;
    }
    if (error == 0 && adopt(file, path, opened)) return opened;
    release(file.fd);
    if (error == EINTR) return {Status::interrupted, kNoHandle, {}};
    if (error == EWOULDBLOCK) return {Status::held, kNoHandle, {}};
    if (error != 0) return {Status::failed, kNoHandle, {"flock", error}};
  }
  return {Status::unsafe, kNoHandle, {}};
}

void BlockingWait::interrupt() {
  // A signal that comes just before flock enters the kernel ends nothing, so
  // another follows until the thread is out. Where somebody took the signal
  // away from us the thread stays in; `waiters.cc` gives its late grant back.
  constexpr int kMaxSignals = 1000;
  state_->interrupted.store(true);
  for (int sent = 0; sent < kMaxSignals && state_->blocking.load(); ++sent) {
    pthread_kill(state_->thread, wait_signal());
    ::usleep(50);
  }
}

}  // namespace kernel_lock

// The native part's own tests, without Node: for systems whose Node can't be run
// where they are built. `main DIRECTORY` prints one line per case and exits 1 if
// one failed.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "../../native/lock.h"
#include "../../native/process.h"
#include "../../native/waiters.h"

namespace kernel_lock {
namespace {

int g_failures = 0;

void check(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "FAIL", what);
  if (!holds) ++g_failures;
}

class Announced final : public Owner {
 public:
  void ready(const std::shared_ptr<Ticket>& ticket) override {
    const std::lock_guard<std::mutex> guard(mutex_);
    settled_.insert(ticket);
    changed_.notify_all();
  }
  bool wait_for(const std::shared_ptr<Ticket>& ticket, int milliseconds) {
    std::unique_lock<std::mutex> guard(mutex_);
    return changed_.wait_for(guard, std::chrono::milliseconds(milliseconds),
                             [&] { return settled_.count(ticket) != 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::shared_ptr<Ticket>> settled_;  // kept, so that no address comes twice
};

Announced g_owner;
constexpr int kLongMs = 5000;
constexpr int kShortMs = 100;

std::shared_ptr<Ticket> wait_for_lock(const std::string& path, Mode mode = Mode::exclusive,
                                      bool synchronous = false) {
  auto ticket = std::make_shared<Ticket>();
  ticket->owner = &g_owner;
  ticket->mode = mode;
  ticket->synchronous = synchronous;
  ticket->record_head = std::make_shared<const std::string>(R"({"version":1,)");
  const Failure failure = enqueue(path, ticket);
  check(failure.syscall == nullptr, "a wait begins");
  return ticket;
}

bool granted(const std::shared_ptr<Ticket>& ticket, Outcome& outcome) {
  return g_owner.wait_for(ticket, kLongMs) && take(ticket, outcome) &&
         outcome.status == Status::acquired;
}

void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(kShortMs)); }

void attempts(const std::string& path) {
  const Outcome first = try_acquire(path, Mode::exclusive);
  check(first.status == Status::acquired, "a free lock is acquired");
  check(try_acquire(path, Mode::exclusive).status == Status::held, "a held one is held");
  check(try_acquire(path, Mode::shared).status == Status::held, "to a reader too");
  check(is_current(first.handle, path), "its file is the one at the path");
  std::rename(path.c_str(), (path + ".old").c_str());
  check(!is_current(first.handle, path), "and no more after a rename");
  release(first.handle);
  const Outcome one = try_acquire(path, Mode::shared);
  const Outcome two = try_acquire(path, Mode::shared);
  check(one.status == Status::acquired && two.status == Status::acquired, "readers share");
  release(one.handle);
  check(try_acquire(path, Mode::exclusive).status == Status::held, "and keep a writer out");
  release(two.handle);
  const std::string link = path + ".link";
  check(::symlink(path.c_str(), link.c_str()) == 0, "a symlink is made");
  check(try_acquire(link, Mode::exclusive).status != Status::acquired, "and not followed");
}

void waits(const std::string& path) {
  Outcome outcome = try_acquire(path, Mode::exclusive);
  const auto first = wait_for_lock(path);
  const auto second = wait_for_lock(path);
  const auto third = wait_for_lock(path);
  check(!g_owner.wait_for(first, kShortMs), "nobody is let in while it is held");
  withdraw(second);
  release(outcome.handle);
  check(granted(first, outcome), "the first in line is let in");
  check(!g_owner.wait_for(third, kShortMs), "alone");
  release(outcome.handle);
  check(granted(third, outcome), "then the next who still wants to");

  const auto alone = wait_for_lock(path);
  pause();
  const auto begun = std::chrono::steady_clock::now();
  withdraw(alone);
  check(std::chrono::steady_clock::now() - begun < std::chrono::seconds(1), "a wait is withdrawn");
  const auto timed = wait_for_lock(path, Mode::exclusive, true);
  check(!collect(timed, kShortMs), "a synchronous wait runs out of time");
  withdraw(timed);

  const auto reader = wait_for_lock(path, Mode::shared);
  const auto other = wait_for_lock(path, Mode::shared);
  release(outcome.handle);
  Outcome shared;
  check(granted(reader, outcome) && granted(other, shared), "readers are let in together");
  release(outcome.handle);
  release(shared.handle);
}

void interrupts(const std::string& path) {
  constexpr int kRounds = 500;
  bool all = true;
  for (int round = 0; round < kRounds && all; ++round) {
    const Outcome outcome = try_acquire(path, Mode::exclusive);
    auto ticket = std::make_shared<Ticket>();
    ticket->owner = &g_owner;
    ticket->record_head = std::make_shared<const std::string>();
    all = enqueue(path, ticket).syscall == nullptr;
    if (round % 3 != 0) std::this_thread::sleep_for(std::chrono::microseconds(round));
    withdraw(ticket);
    if (outcome.status == Status::acquired) release(outcome.handle);
    while (has_waiters(path)) std::this_thread::yield();
  }
  check(all, "500 waits are interrupted at any moment");
  const Outcome outcome = try_acquire(path, Mode::exclusive);
  check(outcome.status == Status::acquired, "and no grant is left behind");
  release(outcome.handle);
}

void processes(const std::string& path) {
  int ready[2];
  check(::pipe(ready) == 0, "a pipe is made");
  const pid_t child = ::fork();
  if (child == 0) {
    const bool held = try_acquire(path, Mode::exclusive).status == Status::acquired;
    (void)!::write(ready[1], held ? "1" : "0", 1);
    for (;;) ::pause();
  }
  char answer = '0';
  check(::read(ready[0], &answer, 1) == 1 && answer == '1', "another process acquires");
  const auto ticket = wait_for_lock(path);
  check(!g_owner.wait_for(ticket, kShortMs), "and keeps this one out");
  const Pinned pinned = pin_process(child);
  if (pinned.handle == kNoHandle) {
    std::printf("not run: pinning a process (%s: errno %d)\n", pinned.failure.syscall,
                pinned.failure.code);
    ::kill(child, SIGKILL);
  } else {
    check(signal_process(pinned.handle, SIGKILL).syscall == nullptr, "it is killed");
    unpin_process(pinned.handle);
  }
  Outcome outcome;
  check(granted(ticket, outcome), "its death frees the lock");
  release(outcome.handle);
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace kernel_lock

int main(int count, char** arguments) {
  if (count != 2) return 64;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string directory = arguments[1];
  kernel_lock::processes(directory + "/processes.lock");  // forks, so before there are threads
  kernel_lock::attempts(directory + "/attempts.lock");
  kernel_lock::waits(directory + "/waits.lock");
  kernel_lock::interrupts(directory + "/interrupts.lock");
  std::printf("%s\n", kernel_lock::g_failures == 0 ? "passed" : "failed");
  return kernel_lock::g_failures == 0 ? 0 : 1;
}

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "../../native/process.h"
#include "cases.h"

namespace kernel_lock {
namespace {

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
  check(!settles(ticket, kShortMs), "and keeps this one out");
  const Pinned pinned = pin_process(child);
  if (pinned.handle == kNoHandle) {
    not_run("its end by a handle; " + std::string(pinned.failure.syscall) + " ended with errno " +
            std::to_string(pinned.failure.code));
    ::kill(child, SIGKILL);
  } else {
    check(signal_process(pinned.handle, SIGKILL).syscall == nullptr, "it is killed");
    unpin_process(pinned.handle);
  }
  Outcome outcome;
  check(granted(ticket, outcome), "its death frees the lock");
  release(outcome.handle);
  ::waitpid(child, nullptr, 0);
  for (const int end : ready) ::close(end);
}

void rename_under_holder(const std::string& path) {
  const Outcome outcome = try_acquire(path, Mode::exclusive);
  check(std::rename(path.c_str(), (path + ".old").c_str()) == 0, "it is renamed");
  check(!is_current(outcome.handle, path), "the holder is told");
  release(outcome.handle);
}

void symlink_at_path(const std::string& path) {
  check(::symlink((path + ".target").c_str(), path.c_str()) == 0, "it is made");
  check(try_acquire(path, Mode::exclusive).status != Status::acquired, "it is not followed");
}

}  // namespace

std::vector<Case> system_cases() {
  return {
      {"a process that dies frees its lock", processes},  // forks
      {"a rename under the holder", rename_under_holder},
      {"a symlink at the path", symlink_at_path},
  };
}

}  // namespace kernel_lock

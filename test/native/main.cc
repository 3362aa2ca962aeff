// The native part's own tests, without Node: for systems whose Node can't be run
// where they are built. `main DIRECTORY` says how many cases there are, prints a
// line for each and exits 1 if one failed.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>

#include "cases.h"

namespace kernel_lock {
namespace {

std::string g_failed;
std::string g_not_run;

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

void attempts(const std::string& path) {
  const Outcome first = try_acquire(path, Mode::exclusive);
  check(first.status == Status::acquired, "a free lock is acquired");
  check(try_acquire(path, Mode::exclusive).status == Status::held, "a held one is held");
  check(try_acquire(path, Mode::shared).status == Status::held, "to a reader too");
  check(is_current(first.handle, path), "its file is the one at the path");
  release(first.handle);
  const Outcome one = try_acquire(path, Mode::shared);
  const Outcome two = try_acquire(path, Mode::shared);
  check(one.status == Status::acquired && two.status == Status::acquired, "readers share");
  release(one.handle);
  check(try_acquire(path, Mode::exclusive).status == Status::held, "and keep a writer out");
  release(two.handle);
}

void waits(const std::string& path) {
  Outcome outcome = try_acquire(path, Mode::exclusive);
  const auto first = wait_for_lock(path);
  const auto second = wait_for_lock(path);
  const auto third = wait_for_lock(path);
  check(!settles(first, kShortMs), "nobody is let in while it is held");
  withdraw(second);
  release(outcome.handle);
  check(granted(first, outcome), "the first in line is let in");
  check(!settles(third, kShortMs), "alone");
  release(outcome.handle);
  check(granted(third, outcome), "then the next who still wants to");

  const auto alone = wait_for_lock(path);
  check(!settles(alone, kShortMs), "it waits");
  const auto begun = std::chrono::steady_clock::now();
  withdraw(alone);
  check(std::chrono::steady_clock::now() - begun < std::chrono::seconds(1), "and is withdrawn");
  const auto timed = wait_for_lock(path, Mode::exclusive, true);
  check(!collect(timed, kShortMs), "a synchronous wait runs out of time");
  withdraw(timed);
  const auto late = wait_for_lock(path);
  check(!settles(late, kShortMs), "it waits again");
  expire(late);
  Outcome end;
  check(settles(late, kLongMs) && take(late, end) && end.status == Status::held,
        "a wait ends when its time is up");
  const auto front = wait_for_lock(path);
  const auto behind = wait_for_lock(path, Mode::shared);
  expire(behind);
  check(settles(behind, kShortMs) && take(behind, end) && end.status == Status::held,
        "behind others at once");
  expire(front);
  release(outcome.handle);
  check(settles(front, kLongMs) && take(front, end), "in any case");
  if (end.status == Status::acquired) release(end.handle);
  const auto lucky = wait_for_lock(path);
  expire(lucky);
  check(granted(lucky, end), "and takes what is free");
  release(end.handle);
  outcome = try_acquire(path, Mode::exclusive);
  check(outcome.status == Status::acquired, "nothing is left of them");

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
  check(all, "every wait begins");
  // The last grant may be on its way back.
  Outcome outcome;
  check(granted(wait_for_lock(path), outcome), "no grant is left behind");
  release(outcome.handle);
}

int run_all(const std::string& directory) {
  std::vector<Case> cases = system_cases();
  cases.push_back({"attempts", attempts});
  cases.push_back({"waits", waits});
  cases.push_back({"500 waits interrupted at any moment", interrupts});
  std::printf("%zu cases\n", cases.size());
  int failures = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    g_failed.clear();
    g_not_run.clear();
    cases[i].run(directory + "/" + std::to_string(i) + ".lock");
    if (!g_failed.empty()) {
      std::printf("FAILED  %s:%s\n", cases[i].name, g_failed.c_str());
      ++failures;
    } else if (!g_not_run.empty()) {
      std::printf("not run %s: %s\n", cases[i].name, g_not_run.c_str());
    } else {
      std::printf("ok      %s\n", cases[i].name);
    }
    std::fflush(stdout);
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace

void check(bool holds, const char* what) {
  if (!holds) g_failed += std::string(" not so: ") + what + ";";
}

void not_run(const std::string& why) { g_not_run = why; }

std::shared_ptr<Ticket> wait_for_lock(const std::string& path, Mode mode, bool synchronous) {
  auto ticket = std::make_shared<Ticket>();
  ticket->owner = &g_owner;
  ticket->mode = mode;
  ticket->synchronous = synchronous;
  ticket->record_head = std::make_shared<const std::string>(R"({"version":1,)");
  check(enqueue(path, ticket).syscall == nullptr, "a wait begins");
  return ticket;
}

bool settles(const std::shared_ptr<Ticket>& ticket, int milliseconds) {
  return g_owner.wait_for(ticket, milliseconds);
}

bool granted(const std::shared_ptr<Ticket>& ticket, Outcome& outcome) {
  return settles(ticket, kLongMs) && take(ticket, outcome) && outcome.status == Status::acquired;
}

}  // namespace kernel_lock

int main(int count, char** arguments) {
  return count == 2 ? kernel_lock::run_all(arguments[1]) : 64;
}

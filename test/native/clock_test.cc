// A wait whose time runs out while the wall clock is set back: as a program of its own, because the
// clock of the whole of it is replaced. `clock DIRECTORY` prints what `main` does, for one case.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "../../native/waiters.h"

// What a process sees whose clock is set back by five seconds right after it has looked. (Not for
// processors of 32 bits, which have two of these.)
extern "C" int clock_gettime(clockid_t clock, struct timespec* now) {
  constexpr time_t kSetBack = 5;
  const long result = ::syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += kSetBack;
  return static_cast<int>(result);
}

int main(int count, char** arguments) {
  using namespace kernel_lock;
  if (count != 2) return 64;
  const std::string path = std::string(arguments[1]) + "/clock.lock";
  std::printf("1 cases\n");
  const Outcome held = try_acquire(path, Mode::exclusive);
  auto ticket = std::make_shared<Ticket>();
  ticket->synchronous = true;
  ticket->record_head = std::make_shared<const std::string>();
  const bool begun = enqueue(path, ticket).syscall == nullptr;
  const auto start = std::chrono::steady_clock::now();
  const bool granted = collect(ticket, 100);
  const auto took = std::chrono::steady_clock::now() - start;
  withdraw(ticket);
  release(held.handle);
  const bool right = begun && !granted && took < std::chrono::seconds(3);
  std::printf("%s a limit of time does not go by the wall clock\n", right ? "ok     " : "FAILED ");
  return right ? 0 : 1;
}

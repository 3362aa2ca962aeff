// Threads that acquire, wait, withdraw, look and watch on a few paths at random, without Node: for
// ThreadSanitizer and valgrind, which have to see all of the program. `stress DIRECTORY SECONDS`
// exits 1 where two were inside at once or where something was left behind.
#include <dirent.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_set>

#include "../../native/waiters.h"
#include "../../native/watch.h"

namespace kernel_lock {
namespace {

constexpr int kPaths = 3;
constexpr int kThreads = 6;

struct Place {
  std::string path;
  std::atomic<int> writers{0};
  std::atomic<int> readers{0};
};

struct Counts {
  std::atomic<long> acquired{0};
  std::atomic<long> withdrawn{0};
  std::atomic<long> changes{0};
  std::atomic<long> overlaps{0};
};

Place g_places[kPaths];
Counts g_counts;

// One environment: it is told of its waits by other threads, as addon.cc is.
class Asker final : public Owner, public Observer {
 public:
  void ready(const std::shared_ptr<Ticket>& ticket) override {
    const std::lock_guard<std::mutex> guard(mutex_);
    settled_.insert(ticket->id);
    changed_.notify_all();
  }
  void changed(uint64_t) override { ++g_counts.changes; }

  void run(unsigned seed, std::chrono::steady_clock::time_point end) {
    std::minstd_rand random(seed);
    while (std::chrono::steady_clock::now() < end) {
      Place& place = g_places[random() % kPaths];
      const Mode mode = random() % 3 == 0 ? Mode::shared : Mode::exclusive;
      if (random() % 4 == 0) {
        const Outcome outcome = try_acquire(place.path, mode);
        if (outcome.status == Status::acquired) hold(place, mode, outcome, random);
      } else {
        wait(place, mode, random);
      }
      has_exclusive_waiter(place.path);
    }
  }

 private:
  void wait(Place& place, Mode mode, std::minstd_rand& random) {
    auto ticket = std::make_shared<Ticket>();
    ticket->owner = this;
    ticket->id = ++last_;
    ticket->mode = mode;
    ticket->synchronous = random() % 2 == 0;
    ticket->record_head = std::make_shared<const std::string>(R"({"version":1,)");
    if (enqueue(place.path, ticket).syscall != nullptr) std::abort();
    const auto patience = std::chrono::microseconds(random() % 2000);
    if (ticket->synchronous) {
      collect(ticket, patience.count() / 1000);
    } else {
      std::unique_lock<std::mutex> guard(mutex_);
      changed_.wait_for(guard, patience, [&] { return settled_.erase(ticket->id) != 0; });
    }
    Outcome outcome;
    // Half of the cancels come with the grant on its way.
    if (random() % 2 == 0 && collect(ticket, 0) && take(ticket, outcome)) {
      if (outcome.status != Status::acquired) std::abort();
      hold(place, mode, outcome, random);
    } else {
      if (random() % 2 == 0) end_in_time(place, mode, ticket, random);
      withdraw(ticket);
      ++g_counts.withdrawn;
    }
  }

  // As a wait whose time is up does, which is given up where that does not help.
  void end_in_time(Place& place, Mode mode, const std::shared_ptr<Ticket>& ticket,
                   std::minstd_rand& random) {
    expire(ticket);
    Outcome outcome;
    if (!collect(ticket, random() % 2) || !take(ticket, outcome)) return;
    if (outcome.status == Status::acquired) {
      hold(place, mode, outcome, random);
    } else if (outcome.status != Status::held) {
      std::abort();
    }
  }

  void hold(Place& place, Mode mode, const Outcome& outcome, std::minstd_rand& random) {
    ++g_counts.acquired;
    std::atomic<int>& own = mode == Mode::exclusive ? place.writers : place.readers;
    const int others = mode == Mode::exclusive ? own++ + place.readers : (own++, 0);
    if (others != 0 || (mode == Mode::shared && place.writers != 0)) ++g_counts.overlaps;
    const uint64_t id = ++last_;
    const bool watched = random() % 8 == 0;
    if (watched && !watch(this, id, place.path)) std::abort();
    if (!is_current(outcome.handle, place.path)) ++g_counts.overlaps;
    touch(outcome.handle);
    if (watched) unwatch(this, id);
    --own;
    release(outcome.handle);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_set<uint64_t> settled_;
  uint64_t last_ = 0;
};

int descriptors() {
  int count = 0;
  DIR* const directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

int run(const std::string& directory, int seconds) {
  for (int i = 0; i < kPaths; ++i) g_places[i].path = directory + "/" + std::to_string(i) + ".lock";
  // What is opened once and kept.
  static Asker first;
  release(try_acquire(g_places[0].path, Mode::exclusive).handle);
  watch(&first, 1, g_places[0].path);
  unwatch(&first, 1);
  const int before = descriptors();

  static Asker askers[kThreads];
  std::thread threads[kThreads];
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (int i = 0; i < kThreads; ++i) threads[i] = std::thread(&Asker::run, &askers[i], i + 1, end);
  for (std::thread& thread : threads) thread.join();

  // A late grant is given back by a thread that nobody waits for.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (descriptors() > before && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  bool free = true;
  for (const Place& place : g_places) {
    free = free && lock_state(place.path) == LockState::free;
  }
  const int left = descriptors() - before;
  std::printf(
      "%ld acquired, %ld withdrawn, %ld changes seen, %ld overlaps, %d descriptors left, %s\n",
      g_counts.acquired.load(), g_counts.withdrawn.load(), g_counts.changes.load(),
      g_counts.overlaps.load(), left, free ? "all free" : "one still held");
  const bool tried = g_counts.acquired > 0 && g_counts.withdrawn > 0;
  return tried && free && left == 0 && g_counts.overlaps == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kernel_lock

int main(int count, char** arguments) {
  return count == 3 ? kernel_lock::run(arguments[1], std::atoi(arguments[2])) : 64;
}

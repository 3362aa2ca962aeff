#include "waiters.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "record.h"

namespace kernel_lock {

struct Line {
  Line(std::string at, Mode wanted) : path(std::move(at)), mode(wanted) {}
  const std::string path;
  std::list<std::shared_ptr<Ticket>> tickets;
  BlockingWait wait;
  Mode mode;           // what the thread asks the kernel for
  bool stuck = false;  // called back in vain: it waits for the holder
  // Nobody wants that any more, and the thread has been told.
  [[nodiscard]] bool is_called_back() const {
    return tickets.empty() || tickets.front()->mode != mode;
  }
};

namespace {

struct Waiters {
  std::mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<Line>> lines;
  std::list<Line*> unserved;
  Condition work;
  Condition served;  // a line is gone, or its thread asks for something else
  size_t idle_threads = 0;
};

// One thread stays for the next wait: it starts sooner, and none ends in the
// middle of a hand-over.
constexpr size_t kMaxIdleThreads = 1;

// Never destroyed: its threads may still run while the process exits.
Waiters& waiters() {
  static Waiters& instance = *new Waiters;
  return instance;
}

using Guard = std::unique_lock<std::mutex>;

void settle(const std::shared_ptr<Ticket>& ticket, const Outcome& outcome) {
  ticket->line->tickets.erase(ticket->place);
  ticket->line = nullptr;
  ticket->outcome = outcome;
  ticket->state = Ticket::State::settled;
  if (!ticket->synchronous) ticket->owner->ready(ticket);
}

// The owner is woken first, and the record written while it wakes; `take` waits
// for the rest of that.
void grant(Guard& guard, Line& line, const Outcome& outcome) {
  const std::shared_ptr<Ticket> ticket = line.tickets.front();
  ticket->recording = true;
  settle(ticket, outcome);
  guard.unlock();
  char record[kRecordBytes];
  if (outcome.takes_record && compose_record(record, *ticket->record_head, ticket->record_tail)) {
    write_record(outcome.handle, record, sizeof(record));
  }
  guard.lock();
  ticket->recording = false;
  if (ticket->state == Ticket::State::withdrawn) release(outcome.handle);
  ticket->changed.notify_all();
}

// The readers that stand next in line get in together with the first.
void grant_readers(Guard& guard, Line& line) {
  const auto reader_waits = [&line] {
    return !line.tickets.empty() && line.tickets.front()->mode == Mode::shared;
  };
  while (reader_waits()) {
    guard.unlock();
    const Outcome outcome = try_acquire(line.path, Mode::shared);
    guard.lock();
    if (outcome.status != Status::acquired) return;
    if (reader_waits()) {
      grant(guard, line, outcome);
    } else {
      release(outcome.handle);
    }
  }
}

void serve(Guard& guard, Line& line) {
  while (!line.tickets.empty()) {
    const Mode mode = line.tickets.front()->mode;
    line.mode = mode;
    line.stuck = false;
    waiters().served.notify_all();
    line.wait.rearm();
    if (line.tickets.front()->expired) line.wait.time_is_up();
    guard.unlock();
    const Outcome outcome = line.wait.acquire(line.path, mode);
    guard.lock();
    const std::shared_ptr<Ticket> next = line.tickets.empty() ? nullptr : line.tickets.front();
    const bool wanted = next != nullptr && next->mode == mode;
    if (outcome.status == Status::acquired) {
      if (!wanted) {
        release(outcome.handle);
        continue;
      }
      grant(guard, line, outcome);
      if (mode == Mode::shared) grant_readers(guard, line);
      continue;
    }
    if (!wanted || outcome.status == Status::interrupted) continue;
    // Whose time was up may have left, and another one stand in its place.
    if (outcome.status == Status::held && !next->expired) continue;
    settle(next, outcome);
    next->changed.notify_all();
  }
}

void serve_lines(void*) {
  Waiters& all = waiters();
  Guard guard(all.mutex);
  for (;;) {
    while (!all.unserved.empty()) {
      Line& line = *all.unserved.front();
      all.unserved.pop_front();
      serve(guard, line);
      all.lines.erase(all.lines.find(line.path));
      all.served.notify_all();
    }
    if (all.idle_threads == kMaxIdleThreads) return;
    ++all.idle_threads;
    all.work.wait(guard, [&all] { return !all.unserved.empty(); });
    --all.idle_threads;
  }
}

}  // namespace

Failure enqueue(const std::string& path, const std::shared_ptr<Ticket>& ticket) {
  Waiters& all = waiters();
  const Guard guard(all.mutex);
  std::unique_ptr<Line>& line = all.lines[path];
  const bool fresh = line == nullptr;
  if (fresh) line = std::make_unique<Line>(path, ticket->mode);
  ticket->line = line.get();
  ticket->place = line->tickets.insert(line->tickets.end(), ticket);
  if (!fresh) return {};
  all.unserved.push_back(line.get());
  if (all.idle_threads >= all.unserved.size()) {
    all.work.notify_one();
    return {};
  }
  const Failure failure = BlockingWait::start_thread(serve_lines, nullptr);
  if (failure.syscall != nullptr) {
    all.unserved.pop_back();
    ticket->line = nullptr;
    all.lines.erase(path);
  }
  return failure;
}

bool has_waiters(const std::string& path) {
  Waiters& all = waiters();
  const Guard guard(all.mutex);
  // A line outlives its last ticket until its thread has come back.
  const auto found = all.lines.find(path);
  return found != all.lines.end() && !found->second->tickets.empty();
}

bool has_exclusive_waiter(const std::string& path) {
  Waiters& all = waiters();
  const Guard guard(all.mutex);
  const auto found = all.lines.find(path);
  if (found == all.lines.end()) return false;
  const auto& tickets = found->second->tickets;
  return std::any_of(tickets.begin(), tickets.end(),
                     [](const auto& ticket) { return ticket->mode == Mode::exclusive; });
}

bool outlast_late_grant(const std::string& path) {
  constexpr std::chrono::milliseconds kLongest(1000);
  Waiters& all = waiters();
  Guard guard(all.mutex);
  const auto leaving = [&all, &path]() -> Line* {
    const auto found = all.lines.find(path);
    const bool is = found != all.lines.end() && found->second->is_called_back();
    return is && !found->second->stuck ? found->second.get() : nullptr;
  };
  if (leaving() == nullptr) return false;
  if (!all.served.wait_for(guard, kLongest, [&leaving] { return leaving() == nullptr; })) {
    leaving()->stuck = true;
  }
  return true;
}

void withdraw(const std::shared_ptr<Ticket>& ticket) {
  const Guard guard(waiters().mutex);
  const Ticket::State state = ticket->state;
  ticket->state = Ticket::State::withdrawn;
  if (state == Ticket::State::settled && !ticket->recording &&
      ticket->outcome.status == Status::acquired) {
    release(ticket->outcome.handle);
  }
  if (ticket->line == nullptr) return;
  Line& line = *ticket->line;
  line.tickets.erase(ticket->place);
  ticket->line = nullptr;
  // The next in line inherits the place in the kernel's queue, where it asks
  // for the same; else the thread has to come back.
  if (line.is_called_back()) line.wait.interrupt();
}

void expire(const std::shared_ptr<Ticket>& ticket) {
  const Guard guard(waiters().mutex);
  if (ticket->state != Ticket::State::waiting) return;
  Line& line = *ticket->line;
  const auto next = std::next(ticket->place);
  const bool inherited = next != line.tickets.end() && (*next)->mode == ticket->mode;
  if (line.tickets.front() == ticket && !inherited) {
    ticket->expired = true;
    line.wait.time_is_up();
  } else {
    settle(ticket, {Status::held, kNoHandle, {}});
  }
}

bool collect(const std::shared_ptr<Ticket>& ticket, int64_t milliseconds) {
  Guard guard(waiters().mutex);
  const auto settled = [&ticket] { return ticket->state == Ticket::State::settled; };
  if (milliseconds < 0) {
    ticket->changed.wait(guard, settled);
    return true;
  }
  return ticket->changed.wait_for(guard, std::chrono::milliseconds(milliseconds), settled);
}

bool take(const std::shared_ptr<Ticket>& ticket, Outcome& outcome) {
  // Writing the record takes less than falling asleep and being woken would.
  constexpr int kMaxYields = 64;
  for (int yields = 0; yields < kMaxYields && ticket->recording; ++yields) {
    std::this_thread::yield();
  }
  Guard guard(waiters().mutex);
  ticket->changed.wait(guard, [&ticket] { return !ticket->recording; });
  if (ticket->state != Ticket::State::settled) return false;
  outcome = ticket->outcome;
  ticket->state = Ticket::State::withdrawn;  // nobody else may release it now
  return true;
}

}  // namespace kernel_lock

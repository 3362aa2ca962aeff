#include "waiters.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <unordered_map>

#include "record.h"

namespace kernel_lock {

struct Line {
  explicit Line(std::string at) : path(std::move(at)) {}
  const std::string path;
  std::list<std::shared_ptr<Ticket>> tickets;
  BlockingWait wait;
  Mode mode = Mode::exclusive;  // what the thread asks the kernel for
};

namespace {

struct Waiters {
  std::mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<Line>> lines;
};

// Never destroyed: its threads may still run while the process exits.
Waiters& waiters() {
  static Waiters& instance = *new Waiters;
  return instance;
}

using Guard = std::unique_lock<std::mutex>;

void settle(const std::shared_ptr<Ticket>& ticket, const Outcome& outcome) {
  ticket->outcome = outcome;
  ticket->state = Ticket::State::settled;
  if (ticket->synchronous) {
    ticket->settled.notify_all();
  } else {
    ticket->owner->ready(ticket);
  }
}

std::shared_ptr<Ticket> take_first(Line& line) {
  std::shared_ptr<Ticket> ticket = line.tickets.front();
  line.tickets.pop_front();
  ticket->line = nullptr;
  ticket->state = Ticket::State::granting;
  return ticket;
}

void grant(Guard& guard, const std::shared_ptr<Ticket>& ticket, const Outcome& outcome) {
  guard.unlock();
  char record[kRecordBytes];
  if (compose_record(record, *ticket->record_head, ticket->record_tail)) {
    write_record(outcome.handle, record, sizeof(record));
  }
  guard.lock();
  if (ticket->state == Ticket::State::withdrawn) {
    release(outcome.handle);
  } else {
    settle(ticket, outcome);
  }
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
      grant(guard, take_first(line), outcome);
    } else {
      release(outcome.handle);
    }
  }
}

void serve(void* raw) {
  Line& line = *static_cast<Line*>(raw);
  Guard guard(waiters().mutex);
  while (!line.tickets.empty()) {
    const Mode mode = line.tickets.front()->mode;
    line.mode = mode;
    line.wait.rearm();
    guard.unlock();
    const Outcome outcome = line.wait.acquire(line.path, mode);
    guard.lock();
    const bool wanted = !line.tickets.empty() && line.tickets.front()->mode == mode;
    if (outcome.status == Status::acquired) {
      if (!wanted) {
        release(outcome.handle);
        continue;
      }
      grant(guard, take_first(line), outcome);
      if (mode == Mode::shared) grant_readers(guard, line);
    } else if (outcome.status != Status::interrupted && wanted) {
      settle(take_first(line), outcome);
    }
  }
  auto& lines = waiters().lines;
  lines.erase(lines.find(line.path));
}

}  // namespace

Failure enqueue(const std::string& path, const std::shared_ptr<Ticket>& ticket) {
  Waiters& all = waiters();
  const Guard guard(all.mutex);
  std::unique_ptr<Line>& line = all.lines[path];
  const bool fresh = line == nullptr;
  if (fresh) line = std::make_unique<Line>(path);
  ticket->line = line.get();
  ticket->place = line->tickets.insert(line->tickets.end(), ticket);
  if (!fresh) return {};
  const Failure failure = BlockingWait::start_thread(serve, line.get());
  if (failure.syscall != nullptr) {
    ticket->line = nullptr;
    all.lines.erase(path);
  }
  return failure;
}

bool has_waiters(const std::string& path) {
  Waiters& all = waiters();
  const Guard guard(all.mutex);
  return all.lines.count(path) != 0;
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

void withdraw(const std::shared_ptr<Ticket>& ticket) {
  const Guard guard(waiters().mutex);
  const Ticket::State state = ticket->state;
  ticket->state = Ticket::State::withdrawn;
  if (state == Ticket::State::settled) {
    if (ticket->outcome.status == Status::acquired) release(ticket->outcome.handle);
    return;
  }
  if (ticket->line == nullptr) return;
  Line& line = *ticket->line;
  line.tickets.erase(ticket->place);
  ticket->line = nullptr;
  // The next in line inherits the place in the kernel's queue, where it asks
  // for the same; else the thread has to come back.
  if (line.tickets.empty() || line.tickets.front()->mode != line.mode) line.wait.interrupt();
}

bool collect(const std::shared_ptr<Ticket>& ticket, int64_t milliseconds) {
  Guard guard(waiters().mutex);
  const auto settled = [&ticket] { return ticket->state == Ticket::State::settled; };
  if (milliseconds < 0) {
    ticket->settled.wait(guard, settled);
    return true;
  }
  return ticket->settled.wait_for(guard, std::chrono::milliseconds(milliseconds), settled);
}

bool take(const std::shared_ptr<Ticket>& ticket, Outcome& outcome) {
  const Guard guard(waiters().mutex);
  if (ticket->state != Ticket::State::settled) return false;
  outcome = ticket->outcome;
  ticket->state = Ticket::State::withdrawn;  // nobody else may release it now
  return true;
}

}  // namespace kernel_lock

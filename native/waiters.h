// The waiters of this process. Those for one path stand in one line, first in
// first out, and have one thread between them that waits in the kernel.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "condition.h"
#include "lock.h"

namespace kernel_lock {

struct Line;
struct Ticket;

// Who asked: one JavaScript environment (the main thread or a worker).
class Owner {
 public:
  virtual ~Owner() = default;
  // Called from the waiting thread, with the waiters' mutex held: has to be
  // quick and must not call back into this file.
  virtual void ready(const std::shared_ptr<Ticket>& ticket) = 0;
};

struct Ticket {
  Owner* owner = nullptr;
  uint64_t id = 0;
  Mode mode = Mode::exclusive;
  bool synchronous = false;  // collected by `collect`, else announced by `Owner::ready`
  std::shared_ptr<const std::string> record_head;
  std::string record_tail;

  // Granted, and the record is being written.
  std::atomic<bool> recording{false};

  // Guarded by the waiters' mutex.
  enum class State { waiting, settled, withdrawn } state = State::waiting;
  bool expired = false;
  Outcome outcome;
  Line* line = nullptr;
  std::list<std::shared_ptr<Ticket>>::iterator place;
  Condition changed;
};

// Joins the end of the path's line. A failure means that no thread could be
// started; the ticket is then in no line.
Failure enqueue(const std::string& path, const std::shared_ptr<Ticket>& ticket);

// Whether somebody of this process waits for the path.
bool has_waiters(const std::string& path);

// Whether somebody of this process waits for the path exclusively.
bool has_exclusive_waiter(const std::string& path);

// Where the wait for the path was called off and its thread has not come back:
// waits until it has, for a grant that came meanwhile is given back by then.
// Returns whether there was anything to wait for.
bool outlast_late_grant(const std::string& path);

// Leaves the line. A grant that came meanwhile is released at once.
void withdraw(const std::shared_ptr<Ticket>& ticket);

// The ticket's time is up: it is settled in a moment, as `held`; or with the lock, where
// that was granted by then or nobody holds it, and no other ticket inherits the place.
void expire(const std::shared_ptr<Ticket>& ticket);

// Blocks the calling thread until the ticket is settled, or for
// `milliseconds` (negative: without end). Returns whether it is settled.
bool collect(const std::shared_ptr<Ticket>& ticket, int64_t milliseconds);

// Takes the outcome of a settled ticket; false where it was withdrawn.
bool take(const std::shared_ptr<Ticket>& ticket, Outcome& outcome);

}  // namespace kernel_lock

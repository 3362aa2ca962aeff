// What the native part's own tests share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../../native/waiters.h"

namespace kernel_lock {

struct Case {
  const char* name;
  void (*run)(const std::string& path);  // of a lock file that nobody else uses
};

// Those of one operating system. They run first, before there are other threads.
std::vector<Case> system_cases();

void check(bool holds, const char* what);
// The rest of the case can't be run here.
void not_run(const std::string& why);

constexpr int kShortMs = 100;
constexpr int kLongMs = 30000;

std::shared_ptr<Ticket> wait_for_lock(const std::string& path, Mode mode = Mode::exclusive,
                                      bool synchronous = false);
bool settles(const std::shared_ptr<Ticket>& ticket, int milliseconds);
// Waits until the lock is granted.
bool granted(const std::shared_ptr<Ticket>& ticket, Outcome& outcome);

}  // namespace kernel_lock

#include <signal.h>

#include "signals.h"

namespace kernel_lock {
namespace {

constexpr int kSignals = 32;  // the ones with names

struct Kept {
  bool has = false;
  struct sigaction action = {};
};

Kept kept[kSignals];

// Without meaning for the default action, and never set with it by libuv or signal(3).
constexpr int kMark = SA_NODEFER;

}  // namespace

void let_through(int number) {
  struct sigaction current = {};
  if (number <= 0 || number >= kSignals || ::sigaction(number, nullptr, &current) != 0) return;
  const bool handled = (current.sa_flags & SA_SIGINFO) != 0 ||
                       (current.sa_handler != SIG_DFL && current.sa_handler != SIG_IGN);
  if (!handled) return;
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  by_default.sa_flags = kMark;
  kept[number].has = ::sigaction(number, &by_default, &kept[number].action) == 0;
}

void catch_again(int number) {
  if (number <= 0 || number >= kSignals || !kept[number].has) return;
  kept[number].has = false;
  struct sigaction current = {};
  if (::sigaction(number, nullptr, &current) != 0) return;
  if ((current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) return;
  if ((current.sa_flags & kMark) != 0) ::sigaction(number, &kept[number].action, nullptr);
}

}  // namespace kernel_lock

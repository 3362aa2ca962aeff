// Signals that have their own effect again before libuv has taken its handler off. For the main
// thread alone.
#pragma once

namespace kernel_lock {

// Gives the signal its default action, and keeps what handled it.
void let_through(int number);

// Puts that handler back, unless somebody has set another action since, as libuv does when its last
// handle for the signal goes.
void catch_again(int number);

}  // namespace kernel_lock

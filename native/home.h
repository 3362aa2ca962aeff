// The home of the user that this process runs as, whatever the environment says.
#pragma once

#include <string>

namespace kernel_lock {

// By the user database; empty where that has no entry.
std::string home_directory();

}  // namespace kernel_lock

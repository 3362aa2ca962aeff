// The home of the user that this process runs as, whatever the environment says.
#pragma once

#include <string>

#include "lock.h"

namespace kernel_lock {

// By the user database; `home` is empty where that has no entry.
Failure home_directory(std::string& home);

}  // namespace kernel_lock

// What takes the place of exec where there is none: a program that can't
// outlive this process. Nothing here knows JavaScript.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lock.h"

namespace kernel_lock {

struct JobResult {
  Failure failure;
  uint32_t exit_code = 0;
};

// Runs `arguments[0]` with the standard streams of this process and blocks
// until it has ended. It and all that it starts end with this process, however
// that ends. Ctrl-C is left to the program.
JobResult run_in_job(const std::vector<std::string>& arguments);

}  // namespace kernel_lock

// The locks that this process holds on Windows, whichever of its threads acquired
// them. The system tells only who has a file open, and a process that waits, or
// asks, has it open too.
#pragma once

#include <cstddef>
#include <string>

#include "lock.h"

namespace kernel_lock {

void remember_held(Handle handle);
void remember_record(Handle handle, const char* record, size_t size);
// Returns the record that was written for it, empty where none was.
std::string forget_held(Handle handle);

// Whether this process holds a lock on the file at `path`.
bool holds(const std::string& path);

}  // namespace kernel_lock

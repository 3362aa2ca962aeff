// What Wine lacks. Everything that exists for its sake is behind this header.
#pragma once

#include <windows.h>

#include "lock.h"

namespace kernel_lock {

// Whether this is Wine rather than Windows.
bool on_wine();

// A wait for byte 0 on a handle that was opened without FILE_FLAG_OVERLAPPED.
// An overlapped one never ends there: Wine's NtLockFile answers "pending" and
// says "Async I/O lock wait not implemented, might deadlock".
//
// Returns 0 where the lock was granted, ERROR_OPERATION_ABORTED where
// `interrupt` was signalled first, else what went wrong. Unless it is 0, the
// handle is not the caller's any more.
DWORD wait_on_wine(HANDLE handle, Mode mode, HANDLE interrupt);

}  // namespace kernel_lock

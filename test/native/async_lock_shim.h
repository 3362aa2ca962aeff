// LockFileEx and CancelIoEx as Windows has them for overlapped handles, for a
// test on Wine, which has them not. Included ahead of wait_win.cc and
// lock_win.cc, whose calls then come here.
#pragma once

#include <windows.h>

BOOL shim_lock(HANDLE file, DWORD flags, DWORD reserved, DWORD low, DWORD high,
               OVERLAPPED* overlapped);
BOOL shim_cancel(HANDLE file, OVERLAPPED* overlapped);

#define LockFileEx shim_lock
#define CancelIoEx shim_cancel

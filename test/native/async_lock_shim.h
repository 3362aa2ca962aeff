// LockFileEx and CancelIoEx as Windows has them for overlapped handles, and the
// oplock that it grants for an empty file even where that is locked, for a test on
// Wine, which has them not. Included ahead of wait_win.cc, lock_win.cc and
// lock_facts_win.cc, whose calls then come here.
#pragma once

#include <windows.h>

BOOL shim_lock(HANDLE file, DWORD flags, DWORD reserved, DWORD low, DWORD high,
               OVERLAPPED* overlapped);
BOOL shim_cancel(HANDLE file, OVERLAPPED* overlapped);

BOOL shim_request_oplock(OVERLAPPED* overlapped);

#define DeviceIoControl(handle, code, in, in_size, out, out_size, size, overlapped) \
  shim_request_oplock(overlapped)
#define LockFileEx shim_lock
#define CancelIoEx shim_cancel

// The time that an open is tried again in, as the test counts it: included ahead of
// lock_win.cc, whose calls then come here.
#pragma once

#include <windows.h>

ULONGLONG shim_ticks();
void shim_sleep(DWORD milliseconds);

#define GetTickCount64 shim_ticks
#define Sleep shim_sleep

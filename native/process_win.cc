#include <windows.h>

#include <atomic>

#include "lock_file_win.h"
#include "process.h"

namespace kernel_lock {
namespace {

// The numbers of libuv, which Windows itself has no names for.
constexpr int kProbe = 0;
constexpr int kInterrupt = 2;
constexpr int kKill = 9;
constexpr int kTerminate = 15;

// What OpenProcess says of a pid that nobody has.
constexpr DWORD kGone = ERROR_INVALID_PARAMETER;

Failure failure(const char* syscall, DWORD code) { return {syscall, static_cast<int>(code)}; }

bool has_ended(HANDLE process) { return ::WaitForSingleObject(process, 0) == WAIT_OBJECT_0; }

// Until when (GetTickCount64) a Ctrl-C may be of this process's own making, which
// it must not obey itself. One that never comes, because whoever started this
// process had it ignore Ctrl-C, must not swallow the user's next.
constexpr ULONGLONG kOwnEventMs = 1000;
std::atomic<ULONGLONG> g_own_event_until{0};

BOOL WINAPI ignore_own_event(DWORD event) {
  if (event != CTRL_C_EVENT) return FALSE;
  return g_own_event_until.exchange(0) > ::GetTickCount64() ? TRUE : FALSE;
}

// A console event can be addressed to everybody on the console or to a process
// group. For a pid that leads no group it goes to everybody all the same
// (microsoft/terminal #335), and nothing tells whether one leads a group. So
// only a console that the two are alone on will do.
bool is_alone_with(DWORD pid) {
  constexpr DWORD kRoom = 3;
  DWORD pids[kRoom];
  const DWORD count = ::GetConsoleProcessList(pids, kRoom);
  if (count != 2) return false;
  const DWORD self = ::GetCurrentProcessId();
  return (pids[0] == pid && pids[1] == self) || (pids[1] == pid && pids[0] == self);
}

Failure send_console_event(HANDLE process) {
  static constexpr char kCall[] = "GenerateConsoleCtrlEvent";
  const DWORD pid = ::GetProcessId(process);
  if (!is_alone_with(pid)) return failure(kCall, ERROR_NOT_SUPPORTED);
  stay_loaded();  // the handler does
  static const BOOL installed = ::SetConsoleCtrlHandler(ignore_own_event, TRUE);
  if (!installed) return failure(kCall, ERROR_NOT_SUPPORTED);
  g_own_event_until = ::GetTickCount64() + kOwnEventMs;
  if (::GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)) return {};
  const DWORD code = ::GetLastError();
  g_own_event_until = 0;
  return failure(kCall, code);
}

}  // namespace

Pinned pin_process(int pid) {
  constexpr DWORD kLook = PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE;
  const auto id = static_cast<DWORD>(pid);
  HANDLE process = ::OpenProcess(kLook | PROCESS_TERMINATE, FALSE, id);
  if (process == nullptr && ::GetLastError() == ERROR_ACCESS_DENIED) {
    process = ::OpenProcess(kLook, FALSE, id);
  }
  if (process == nullptr) return {kNoHandle, failure("OpenProcess", ::GetLastError())};
  // The two lowest bits of a pid are ignored, and a process that ended can be
  // opened for as long as anybody has a handle of it.
  if (::GetProcessId(process) != id || has_ended(process)) {
    ::CloseHandle(process);
    return {kNoHandle, failure("OpenProcess", kGone)};
  }
  return {to_handle(process), {}};
}

Failure signal_process(Handle handle, int signal) {
  HANDLE process = from_handle(handle);
  // Ending a process that has ended is ERROR_ACCESS_DENIED.
  if (has_ended(process)) return failure("TerminateProcess", kGone);
  switch (signal) {
    case kProbe:
      return {};
    case kKill:
      if (::TerminateProcess(process, 1)) return {};
      return failure("TerminateProcess", has_ended(process) ? kGone : ::GetLastError());
    case kInterrupt:
    case kTerminate:
      return send_console_event(process);
    default:
      return failure("TerminateProcess", ERROR_NOT_SUPPORTED);
  }
}

bool is_gone(const Failure& failure) { return failure.code == static_cast<int>(kGone); }

void unpin_process(Handle process) { ::CloseHandle(from_handle(process)); }

void remember_stdio() {}

Failure replace_process(const std::vector<std::string>&, Handle) {
  return failure("execvp", ERROR_NOT_SUPPORTED);
}

}  // namespace kernel_lock

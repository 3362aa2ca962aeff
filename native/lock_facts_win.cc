#include <windows.h>
// windows.h has to come first.
#include <restartmanager.h>
#include <winioctl.h>

#include <algorithm>
#include <memory>

#include "facts.h"
#include "lock.h"
#include "lock_file_win.h"
#include "text_win.h"

namespace kernel_lock {
namespace {

// Shares everything and asks for no writing, so it is in nobody's way.
HANDLE open_shared(const std::wstring& path, DWORD access, DWORD flags) {
  return ::CreateFileW(path.c_str(), access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       nullptr, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT | flags, nullptr);
}

// ---- openers

// Absent from the user-mode headers; since Windows Vista.
constexpr int kFileProcessIdsUsingFileInformation = 47;
constexpr LONG kInfoLengthMismatch = static_cast<LONG>(0xC0000004);
constexpr LONG kBufferOverflow = static_cast<LONG>(0x80000005);
struct StatusBlock {
  void* status;
  ULONG_PTR information;
};
struct ProcessIds {
  ULONG count;
  ULONG_PTR pids[1];
};
using QueryFile = LONG(WINAPI*)(HANDLE, StatusBlock*, void*, ULONG, int);

Openers ask_kernel(const std::wstring& path) {
  static const auto query = reinterpret_cast<QueryFile>(reinterpret_cast<void*>(
      ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "NtQueryInformationFile")));
  Openers openers;
  HANDLE handle = open_shared(path, FILE_READ_ATTRIBUTES, 0);
  if (handle == INVALID_HANDLE_VALUE) return openers;
  constexpr ULONG kMost = 65536;
  for (ULONG room = 64; room <= kMost; room *= 4) {
    const std::unique_ptr<ULONG_PTR[]> buffer(new ULONG_PTR[room + 1]());
    StatusBlock block = {};
    const LONG status =
        query(handle, &block, buffer.get(), static_cast<ULONG>((room + 1) * sizeof(ULONG_PTR)),
              kFileProcessIdsUsingFileInformation);
    if (status == kInfoLengthMismatch || status == kBufferOverflow) continue;
    if (status < 0) break;
    const auto* ids = reinterpret_cast<const ProcessIds*>(buffer.get());
    openers.known = true;
    for (ULONG i = 0; i < ids->count; ++i) openers.pids.push_back(static_cast<int>(ids->pids[i]));
    break;
  }
  ::CloseHandle(handle);
  return openers;
}

using StartSession = DWORD(WINAPI*)(DWORD*, DWORD, WCHAR*);
using RegisterResources = DWORD(WINAPI*)(DWORD, UINT, LPCWSTR*, UINT, RM_UNIQUE_PROCESS*, UINT,
                                         LPCWSTR*);
using GetList = DWORD(WINAPI*)(DWORD, UINT*, UINT*, RM_PROCESS_INFO*, DWORD*);
using EndSession = DWORD(WINAPI*)(DWORD);

template <typename Function>
Function function_of(HMODULE module, const char* name) {
  return reinterpret_cast<Function>(reinterpret_cast<void*>(::GetProcAddress(module, name)));
}

Openers ask_restart_manager(const std::wstring& path) {
  Openers openers;
  HMODULE module = ::LoadLibraryExW(L"rstrtmgr.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (module == nullptr) return openers;
  const auto start = function_of<StartSession>(module, "RmStartSession");
  const auto add = function_of<RegisterResources>(module, "RmRegisterResources");
  const auto list = function_of<GetList>(module, "RmGetList");
  const auto end = function_of<EndSession>(module, "RmEndSession");
  DWORD session = 0;
  WCHAR key[CCH_RM_SESSION_KEY + 1] = {};
  if (start != nullptr && add != nullptr && list != nullptr && end != nullptr &&
      start(&session, 0, key) == ERROR_SUCCESS) {
    const wchar_t* file = path.c_str();
    DWORD error = add(session, 1, &file, 0, nullptr, 0, nullptr);
    UINT room = 16;
    constexpr UINT kMost = 4096;
    while (error == ERROR_SUCCESS && room <= kMost) {
      const std::unique_ptr<RM_PROCESS_INFO[]> processes(new RM_PROCESS_INFO[room]);
      UINT needed = 0;
      UINT count = room;
      DWORD reasons = 0;
      const DWORD result = list(session, &needed, &count, processes.get(), &reasons);
      if (result == ERROR_MORE_DATA) {
        room = needed + 16;
        continue;
      }
      // Wine's stub succeeds without a word, and a file with no opener at all
      // needs no second opinion.
      openers.known = result == ERROR_SUCCESS && count > 0;
      for (UINT i = 0; openers.known && i < count; ++i) {
        openers.pids.push_back(static_cast<int>(processes[i].Process.dwProcessId));
      }
      break;
    }
    end(session);
  }
  ::FreeLibrary(module);
  return openers;
}

// ---- state

enum class Answer { no, yes, unknown };

// A lock denies reading its byte through any other handle, if it is exclusive.
Answer is_exclusive(const std::wstring& path) {
  HANDLE handle = open_shared(path, GENERIC_READ, 0);
  if (handle == INVALID_HANDLE_VALUE) return Answer::unknown;
  char byte;
  DWORD size;
  const bool done = ::ReadFile(handle, &byte, 1, &size, nullptr) != 0;
  const DWORD error = ::GetLastError();
  ::CloseHandle(handle);
  if (!done && error == ERROR_LOCK_VIOLATION) return Answer::yes;
  // Where nothing is to be read, nothing may have been denied.
  return done && size == 1 ? Answer::no : Answer::unknown;
}

// A level 2 oplock "is granted if there are no byte-range locks on the stream";
// whoever locks afterwards breaks it and is not made to wait. It is granted on a
// locked file that is empty, too (FsRtlCheckLockForOplockRequest "returns TRUE if
// the AllocationSize is 0"), and may be refused for another program's oplock.
bool is_surely_free(const std::wstring& path) {
  HANDLE handle = open_shared(path, GENERIC_READ, FILE_FLAG_OVERLAPPED);
  if (handle == INVALID_HANDLE_VALUE) return false;
  bool granted = false;
  OVERLAPPED overlapped = {};
  overlapped.hEvent = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  if (overlapped.hEvent != nullptr && !lacks_oplocks(handle)) {
    DWORD size;
    const bool done = ::DeviceIoControl(handle, FSCTL_REQUEST_OPLOCK_LEVEL_2, nullptr, 0, nullptr,
                                        0, &size, &overlapped) != 0;
    granted = !done && ::GetLastError() == ERROR_IO_PENDING;
    if (granted) {
      ::CancelIoEx(handle, &overlapped);
      ::GetOverlappedResult(handle, &overlapped, &size, TRUE);
    }
  }
  if (overlapped.hEvent != nullptr) ::CloseHandle(overlapped.hEvent);
  ::CloseHandle(handle);
  return granted;
}

DWORD lock_for_an_instant(HANDLE handle, Mode mode) {
  OVERLAPPED overlapped = {};
  const DWORD error = lock_byte(handle, mode, LOCKFILE_FAIL_IMMEDIATELY, overlapped);
  if (error != 0) return error;
  overlapped = {};
  ::UnlockFileEx(handle, 0, 1, 0, &overlapped);
  return 0;
}

// The last resort; whoever acquires shrugs this off.
LockState probe(const std::wstring& path) {
  HANDLE handle = open_shared(path, GENERIC_READ, 0);
  if (handle == INVALID_HANDLE_VALUE) return LockState::unknown;
  const DWORD exclusive = lock_for_an_instant(handle, Mode::exclusive);
  const bool readers =
      exclusive == ERROR_LOCK_VIOLATION && lock_for_an_instant(handle, Mode::shared) == 0;
  ::CloseHandle(handle);
  if (exclusive == 0) return LockState::free;
  if (exclusive != ERROR_LOCK_VIOLATION) return LockState::unknown;
  return readers ? LockState::shared : LockState::exclusive;
}

// Nobody who holds the lock keeps others from opening the file, so who does that
// (a virus scanner, a backup) holds none, and nobody else has the file open.
bool is_out_of_use(const std::wstring& path) {
  HANDLE handle = open_shared(path, GENERIC_READ, 0);
  if (handle != INVALID_HANDLE_VALUE) {
    ::CloseHandle(handle);
    return false;
  }
  const DWORD error = ::GetLastError();
  return error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND ||
         error == ERROR_SHARING_VIOLATION;
}

}  // namespace

Openers openers_of(const std::string& path) {
  const std::wstring wide = long_path(path);
  Openers openers = ask_kernel(wide);
  if (!openers.known) openers = ask_restart_manager(wide);
  const int self = static_cast<int>(::GetCurrentProcessId());
  auto& pids = openers.pids;
  pids.erase(std::remove(pids.begin(), pids.end(), self), pids.end());
  return openers;
}

std::string file_system_of(const std::string& directory) {
  HANDLE handle = open_shared(long_path(directory), 0, FILE_FLAG_BACKUP_SEMANTICS);
  if (handle == INVALID_HANDLE_VALUE) return {};
  wchar_t name[MAX_PATH + 1];
  const bool known = ::GetVolumeInformationByHandleW(handle, nullptr, 0, nullptr, nullptr, nullptr,
                                                     name, MAX_PATH + 1) != 0;
  ::CloseHandle(handle);
  return known ? to_utf8(name, ::lstrlenW(name)) : std::string();
}

LockState lock_state(const std::string& path) {
  const std::wstring wide = long_path(path);
  if (wide.empty() || is_out_of_use(wide)) return LockState::free;
  const Answer exclusive = is_exclusive(wide);
  if (exclusive == Answer::yes) return LockState::exclusive;
  if (exclusive == Answer::no && is_surely_free(wide)) return LockState::free;
  return probe(wide);
}

}  // namespace kernel_lock

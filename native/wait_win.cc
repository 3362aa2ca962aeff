// A wait is an overlapped LockFileEx: the kernel queues the waiters first in
// first out. The thread waits for its result and for the interrupt at once.
#include <atomic>

#include "held_win.h"
#include "lock_file_win.h"
#include "wine.h"

namespace kernel_lock {

struct BlockingWait::State {
  HANDLE interrupt = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  std::atomic<bool> last_look{false};
  ~State() {
    if (interrupt != nullptr) ::CloseHandle(interrupt);
  }
};

namespace {

// Enough for the call chain and a record; only what is touched costs memory.
constexpr SIZE_T kStackBytes = SIZE_T{256} * 1024;

struct ThreadStart {
  void (*body)(void*);
  void* argument;
};

DWORD WINAPI run_thread(void* raw) {
  const std::unique_ptr<ThreadStart> start(static_cast<ThreadStart*>(raw));
  start->body(start->argument);
  return 0;
}

// As `wait_on_wine`, but the handle stays the caller's in any case.
DWORD wait_for_byte(HANDLE handle, Mode mode, HANDLE interrupt) {
  OVERLAPPED overlapped = {};
  overlapped.hEvent = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  if (overlapped.hEvent == nullptr) return ::GetLastError();
  DWORD error = lock_byte(handle, mode, 0, overlapped);
  if (error == ERROR_IO_PENDING) {
    const HANDLE events[] = {overlapped.hEvent, interrupt};
    const DWORD first = ::WaitForMultipleObjects(2, events, FALSE, INFINITE);
    if (first != WAIT_OBJECT_0) ::CancelIoEx(handle, &overlapped);
    // Until the result is here the kernel may write to `overlapped`; and the
    // grant may have come before the cancellation.
    DWORD none;
    const bool granted = ::GetOverlappedResult(handle, &overlapped, &none, TRUE) != 0;
    error = granted ? 0 : ::GetLastError();
    if (granted && first != WAIT_OBJECT_0) {
      OVERLAPPED range = {};
      ::UnlockFileEx(handle, 0, 1, 0, &range);
      error = ERROR_OPERATION_ABORTED;
    }
  }
  ::CloseHandle(overlapped.hEvent);
  return error;
}

Outcome acquire_until(HANDLE interrupt, const std::string& path, Mode mode) {
  const bool wine = on_wine();
  for (int round = 0; round < kMaxReplacements; ++round) {
    if (::WaitForSingleObject(interrupt, 0) == WAIT_OBJECT_0) {
      return {Status::interrupted, kNoHandle, {}};
    }
    OpenFile file;
    const Outcome opened = open_lock_file(path, wine ? 0 : FILE_FLAG_OVERLAPPED, interrupt, file);
    if (opened.status != Status::acquired) return opened;
    const DWORD error = wine ? wait_on_wine(file.handle, mode, interrupt)
                             : wait_for_byte(file.handle, mode, interrupt);
    if (error == 0 && still_at_path(file, path)) {
      remember_held(opened.handle);
      return opened;
    }
    if (error == 0) {
      release(opened.handle);
      continue;
    }
    if (!wine) ::CloseHandle(file.handle);
    if (error == ERROR_OPERATION_ABORTED) return {Status::interrupted, kNoHandle, {}};
    return failed("LockFileEx", error);
  }
  return {Status::unsafe, kNoHandle, {}};
}

}  // namespace

void stay_loaded() {
  HMODULE module;
  ::GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                       reinterpret_cast<const wchar_t*>(reinterpret_cast<void*>(&run_thread)),
                       &module);
}

BlockingWait::BlockingWait() : state_(new State) {}
BlockingWait::~BlockingWait() = default;

Failure BlockingWait::start_thread(void (*body)(void*), void* argument) {
  stay_loaded();
  auto* start = new ThreadStart{body, argument};
  HANDLE thread = ::CreateThread(nullptr, kStackBytes, run_thread, start,
                                 STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  if (thread == nullptr) {
    const auto code = static_cast<int>(::GetLastError());
    delete start;
    return {"CreateThread", code};
  }
  ::CloseHandle(thread);
  return {};
}

Outcome BlockingWait::acquire(const std::string& path, Mode mode) {
  HANDLE interrupt = state_->interrupt;
  if (interrupt == nullptr) return failed("CreateEventW", ERROR_NOT_ENOUGH_MEMORY);
  const Outcome outcome = acquire_until(interrupt, path, mode);
  if (outcome.status != Status::interrupted || !state_->last_look.load()) return outcome;
  // By path: no other file can take the place of one that somebody holds.
  return try_acquire(path, mode, true);
}

void BlockingWait::interrupt() { ::SetEvent(state_->interrupt); }

void BlockingWait::time_is_up() {
  state_->last_look.store(true);
  interrupt();
}

void BlockingWait::rearm() {
  state_->last_look.store(false);
  ::ResetEvent(state_->interrupt);
}

}  // namespace kernel_lock

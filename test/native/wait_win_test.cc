// The overlapped wait: granted, called off, called off too late, called off
// before it began. `wait_win_test DIRECTORY` says how many cases there are, prints
// a line for each and exits 1 if one failed.
#include <windows.h>

#include <atomic>
#include <cstdio>

#include "../../native/lock.h"
#include "../../native/wine.h"

namespace {

constexpr LONG kCancelled = static_cast<LONG>(0xC0000120);

struct Request {
  HANDLE file;
  DWORD flags;
  OVERLAPPED* overlapped;
};
std::atomic<bool> g_cancelled{false};
std::atomic<bool> g_cancel_late{false};
std::atomic<int> g_waits{0};

void complete(OVERLAPPED* overlapped, LONG status) {
  overlapped->Internal = static_cast<ULONG_PTR>(static_cast<ULONG>(status));
  ::SetEvent(overlapped->hEvent);
}

DWORD WINAPI serve(void* raw) {
  const Request request = *static_cast<Request*>(raw);
  delete static_cast<Request*>(raw);
  for (;;) {
    OVERLAPPED range = {};
    if (::LockFileEx(request.file, request.flags | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &range)) {
      complete(request.overlapped, 0);
      return 0;
    }
    if (g_cancelled) {
      complete(request.overlapped, kCancelled);
      return 0;
    }
    ::Sleep(2);
  }
}

}  // namespace

BOOL shim_lock(HANDLE file, DWORD flags, DWORD reserved, DWORD low, DWORD high,
               OVERLAPPED* overlapped) {
  if ((flags & LOCKFILE_FAIL_IMMEDIATELY) != 0) {
    return ::LockFileEx(file, flags, reserved, low, high, overlapped);
  }
  ++g_waits;
  overlapped->Internal = 0x103;  // STATUS_PENDING
  g_cancelled = false;
  ::CloseHandle(
      ::CreateThread(nullptr, 0, serve, new Request{file, flags, overlapped}, 0, nullptr));
  ::SetLastError(ERROR_IO_PENDING);
  return FALSE;
}

BOOL shim_request_oplock(OVERLAPPED* overlapped) {
  complete(overlapped, 0);
  ::SetLastError(ERROR_IO_PENDING);
  return FALSE;
}

kernel_lock::Handle g_holder = kernel_lock::kNoHandle;

BOOL shim_cancel(HANDLE, OVERLAPPED* overlapped) {
  if (g_cancel_late) {  // the grant came first
    kernel_lock::release(g_holder);
    ::WaitForSingleObject(overlapped->hEvent, INFINITE);
    ::SetLastError(ERROR_NOT_FOUND);
    return FALSE;
  }
  g_cancelled = true;
  return TRUE;
}

namespace kernel_lock {

bool on_wine() { return false; }
DWORD wait_on_wine(HANDLE, Mode, HANDLE) { return ERROR_NOT_SUPPORTED; }

}  // namespace kernel_lock

namespace {

using namespace kernel_lock;

constexpr int kCases = 14;
constexpr DWORD kLongMs = 30000;
int g_checked = 0;
int g_failures = 0;
void check(const char* name, bool passed) {
  std::printf("%s %s\n", passed ? "ok     " : "FAILED ", name);
  ++g_checked;
  if (!passed) ++g_failures;
}

struct Waiting {
  BlockingWait wait;
  Outcome outcome;
  HANDLE done = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  Mode mode = Mode::exclusive;
};

std::string g_path;

void body(void* raw) {
  auto& waiting = *static_cast<Waiting*>(raw);
  waiting.outcome = waiting.wait.acquire(g_path, waiting.mode);
  ::SetEvent(waiting.done);
}

bool ends(Waiting& waiting, DWORD milliseconds) {
  return ::WaitForSingleObject(waiting.done, milliseconds) == WAIT_OBJECT_0;
}

// Whether it has come to wait since there were `waits`.
bool begins(Waiting& waiting, int waits) {
  while (g_waits == waits) {
    if (ends(waiting, 1)) return false;
  }
  return true;
}

bool is_free() {
  const Outcome outcome = try_acquire(g_path, Mode::exclusive);
  if (outcome.status == Status::acquired) release(outcome.handle);
  return outcome.status == Status::acquired;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 64;
  g_path = std::string(arguments[1]) + "/wait.lock";
  std::printf("%d cases\n", kCases);
  {
    Waiting w;
    g_holder = try_acquire(g_path, Mode::exclusive).handle;
    const int waits = g_waits;
    BlockingWait::start_thread(body, &w);
    check("waits while held", begins(w, waits) && !ends(w, 200));
    release(g_holder);
    check("granted after the release", ends(w, kLongMs) && w.outcome.status == Status::acquired);
    check("holds", !is_free());
    char record[4096] = {' ', '{', '}'};
    write_record(w.outcome.handle, record, sizeof(record));
    check("is current", is_current(w.outcome.handle, g_path));
    release(w.outcome.handle);
    check("free after its release", is_free());
  }
  {
    Waiting w;
    g_holder = try_acquire(g_path, Mode::shared).handle;
    int waits = g_waits;
    BlockingWait::start_thread(body, &w);
    check("waits behind a reader", begins(w, waits) && !ends(w, 200));
    w.wait.interrupt();
    check("interrupted", ends(w, kLongMs) && w.outcome.status == Status::interrupted);
    release(g_holder);
    check("holds nothing after the interrupt", is_free());
    ::ResetEvent(w.done);
    waits = g_waits;
    BlockingWait::start_thread(body, &w);
    check("an interrupt stays",
          ends(w, kLongMs) && w.outcome.status == Status::interrupted && g_waits == waits);
    w.wait.rearm();
    ::ResetEvent(w.done);
    BlockingWait::start_thread(body, &w);
    check("rearmed", ends(w, kLongMs) && w.outcome.status == Status::acquired);
    release(w.outcome.handle);
  }
  {
    Waiting w;
    g_holder = try_acquire(g_path, Mode::exclusive).handle;
    const int waits = g_waits;
    BlockingWait::start_thread(body, &w);
    check("waits, to be interrupted late", begins(w, waits));
    g_cancel_late = true;
    w.wait.interrupt();
    check("interrupted though granted",
          ends(w, kLongMs) && w.outcome.status == Status::interrupted);
    check("the late grant was given back", is_free());
  }
  {
    const std::string empty = g_path + ".empty";
    HANDLE file = ::CreateFileA(empty.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
    OVERLAPPED range = {};
    check("a locked empty file is held, whatever its oplock says",
          ::LockFileEx(file, LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &range) != 0 &&
              lock_state(empty) == LockState::exclusive);
    ::CloseHandle(file);
  }
  return g_failures == 0 && g_checked == kCases ? 0 : 1;
}

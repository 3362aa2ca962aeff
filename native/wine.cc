#include "wine.h"

#include <atomic>
#include <memory>

#include "lock_file_win.h"

namespace kernel_lock {
namespace {

// A thread that is blocked in LockFileEx, which nothing on Wine gets out of it
// (CancelSynchronousIo knows no locks there). One that is not waited for any
// more gives its lock back when it comes.
struct Blocked {
  HANDLE handle = INVALID_HANDLE_VALUE;
  Mode mode = Mode::exclusive;
  HANDLE done = nullptr;
  DWORD error = 0;
  std::atomic<bool> left{false};  // by whichever of the two comes first

  ~Blocked() {
    if (done != nullptr) ::CloseHandle(done);
  }
};

using Share = std::shared_ptr<Blocked>;

void block(void* raw) {
  const std::unique_ptr<Share> share(static_cast<Share*>(raw));
  Blocked& blocked = **share;
  OVERLAPPED overlapped = {};
  blocked.error = lock_byte(blocked.handle, blocked.mode, 0, overlapped);
  if (blocked.left.exchange(true)) {
    release(to_handle(blocked.handle));
  } else {
    ::SetEvent(blocked.done);
  }
}

}  // namespace

bool on_wine() {
  static const bool wine =
      ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr;
  return wine;
}

DWORD wait_on_wine(HANDLE handle, Mode mode, HANDLE interrupt) {
  const auto blocked = std::make_shared<Blocked>();
  blocked->handle = handle;
  blocked->mode = mode;
  blocked->done = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  auto* share = new Share(blocked);
  const Failure failure = BlockingWait::start_thread(block, share);
  if (failure.syscall != nullptr) {
    delete share;
    ::CloseHandle(handle);
    return static_cast<DWORD>(failure.code);
  }
  const HANDLE events[] = {blocked->done, interrupt};
  if (::WaitForMultipleObjects(2, events, FALSE, INFINITE) != WAIT_OBJECT_0) {
    if (!blocked->left.exchange(true)) return ERROR_OPERATION_ABORTED;
    ::WaitForSingleObject(blocked->done, INFINITE);
    release(to_handle(handle));
    return ERROR_OPERATION_ABORTED;
  }
  if (blocked->error != 0) ::CloseHandle(handle);
  return blocked->error;
}

}  // namespace kernel_lock

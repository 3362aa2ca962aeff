// Other handles of one process are in each other's way like those of two, so
// whoever keeps a file from being opened is this very program.
#include <windows.h>

#include <thread>

#include "../../native/facts.h"
#include "../../native/held_win.h"
#include "../../native/text_win.h"
#include "cases.h"

namespace {

// While somebody is in the way for a time, it passes only where it is slept through:
// so it is over in time on a slow machine too.
HANDLE g_in_the_way = nullptr;
ULONGLONG g_slept = 0;
constexpr ULONGLONG kScannerMs = 200;

}  // namespace

ULONGLONG shim_ticks() { return g_in_the_way == nullptr ? ::GetTickCount64() : g_slept; }

void shim_sleep(DWORD milliseconds) {
  if (g_in_the_way == nullptr) return ::Sleep(milliseconds);
  const bool was_in_the_way = g_slept < kScannerMs;
  g_slept += milliseconds;
  if (was_in_the_way && g_slept >= kScannerMs) ::CloseHandle(g_in_the_way);
}

namespace kernel_lock {
namespace {

constexpr DWORD kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

HANDLE open_with(const std::string& path, DWORD access, DWORD sharing) {
  HANDLE file = ::CreateFileW(long_path(path).c_str(), access, sharing, nullptr, OPEN_ALWAYS,
                              FILE_ATTRIBUTE_NORMAL, nullptr);
  check(file != INVALID_HANDLE_VALUE, "the file is opened");
  return file;
}

HANDLE open_unshared(const std::string& path) { return open_with(path, GENERIC_READ, 0); }

HANDLE open_deleted(const std::string& path) {
  HANDLE file = open_with(path, DELETE, kShareAll);
  FILE_DISPOSITION_INFO disposition = {TRUE};
  check(::SetFileInformationByHandle(file, FileDispositionInfo, &disposition,
                                     sizeof(disposition)) != 0,
        "its deletion is pending");
  return file;
}

bool fails_with(const Outcome& outcome, DWORD error) {
  return outcome.status == Status::failed && outcome.failure.code == static_cast<int>(error);
}

void acquire_and_release(const std::string& path, const char* what) {
  const Outcome outcome = try_acquire(path, Mode::exclusive);
  check(outcome.status == Status::acquired, what);
  if (outcome.status == Status::acquired) release(outcome.handle);
}

void closed_in_time(const std::string& path, HANDLE file) {
  g_in_the_way = file;
  g_slept = 0;
  const Outcome outcome = try_acquire(path, Mode::exclusive);
  g_in_the_way = nullptr;
  check(g_slept >= kScannerMs, "it was in the way");
  check(outcome.status == Status::acquired, "it was waited for");
  if (g_slept < kScannerMs) ::CloseHandle(file);
  if (outcome.status == Status::acquired) release(outcome.handle);
}

void scanner(const std::string& path) { closed_in_time(path, open_unshared(path)); }

void scanner_that_shares_reading(const std::string& path) {
  closed_in_time(path, open_with(path, GENERIC_READ, FILE_SHARE_READ));
}

void deletion(const std::string& path) { closed_in_time(path, open_deleted(path)); }

void unshared(const std::string& path) {
  HANDLE file = open_unshared(path);
  check(fails_with(try_acquire(path, Mode::exclusive), ERROR_SHARING_VIOLATION), "it is told");
  check(lock_state(path) == LockState::free, "it is no holder");
  const auto ticket = wait_for_lock(path);
  const auto withdrawn = wait_for_lock(path);
  constexpr int kBeyondGraceMs = 700;
  check(!settles(ticket, kBeyondGraceMs), "a wait goes on");
  withdraw(withdrawn);
  ::CloseHandle(file);
  Outcome outcome;
  check(granted(ticket, outcome), "and ends with it");
  const auto alone = wait_for_lock(path);
  release(outcome.handle);
  check(granted(alone, outcome), "the line goes on");
  release(outcome.handle);
  file = open_unshared(path);
  withdraw(wait_for_lock(path));
  while (has_waiters(path)) std::this_thread::yield();
  ::CloseHandle(file);
}

void endless_deletion(const std::string& path) {
  HANDLE file = open_deleted(path);
  // Wine looks at the sharing first, which a lock file's opener denies to deletions.
  const Outcome outcome = try_acquire(path, Mode::exclusive);
  check(fails_with(outcome, ERROR_ACCESS_DENIED) || fails_with(outcome, ERROR_SHARING_VIOLATION),
        "it is told");
  ::CloseHandle(file);
  acquire_and_release(path, "then the lock is acquired");
}

void nothing_is_deleted(const std::string& path) {
  const Outcome outcome = try_acquire(path, Mode::exclusive);
  const std::wstring wide = long_path(path);
  check(!::DeleteFileW(wide.c_str()) && ::GetLastError() == ERROR_SHARING_VIOLATION, "no deletion");
  check(!::MoveFileW(wide.c_str(), (wide + L".old").c_str()), "no renaming");
  check(is_current(outcome.handle, path), "it is still there");
  release(outcome.handle);
}

void directory_at_path(const std::string& path) {
  check(::CreateDirectoryW(long_path(path).c_str(), nullptr) != 0, "it is made");
  check(try_acquire(path, Mode::exclusive).status == Status::unsafe, "it is refused");
}

void second_link(const std::string& path) {
  ::CloseHandle(open_with(path, GENERIC_READ, kShareAll));
  if (!::CreateHardLinkW(long_path(path + ".link").c_str(), long_path(path).c_str(), nullptr)) {
    return not_run("no link can be made here");
  }
  check(try_acquire(path, Mode::exclusive).status == Status::unsafe, "it is refused");
}

void reserved_name(const std::string& /*path*/) {
  for (const char* name :
       {R"(C:\nul)", R"(C:\CON)", R"(\\.\C:\x)", R"(\\?\C:\x)", "//?/C:/x", ""}) {
    check(try_acquire(name, Mode::exclusive).status != Status::acquired, name);
  }
}

void missing_directory(const std::string& path) {
  check(fails_with(try_acquire(path + "\\x.lock", Mode::exclusive), ERROR_PATH_NOT_FOUND),
        "it is told");
}

void spellings(const std::string& /*path*/) {
  const wchar_t* const wanted = LR"(\\?\C:\a\b.lock)";
  for (const char* spelling :
       {R"(C:\a\b.lock)", "C:/a/b.lock", R"(C:\a\\b.lock)", R"(C:\x\..\a\.\b.lock)"}) {
    check(long_path(spelling) == wanted, spelling);
  }
  check(long_path(R"(\\server\share\b.lock)") == LR"(\\?\UNC\server\share\b.lock)", "a share");
}

void foreign_lock_of_an_empty_file(const std::string& path) {
  HANDLE file = open_with(path, GENERIC_READ, kShareAll);
  check(lock_state(path) == LockState::free, "it is free");
  for (const DWORD flags : {DWORD{0}, DWORD{LOCKFILE_EXCLUSIVE_LOCK}}) {
    OVERLAPPED range = {};
    check(::LockFileEx(file, flags, 0, 1, 0, &range) != 0, "it is locked");
    check(lock_state(path) == (flags == 0 ? LockState::shared : LockState::exclusive),
          "that is seen");
    check(!holds(path), "this process did not acquire it");
    range = {};
    ::UnlockFileEx(file, 0, 1, 0, &range);
    check(lock_state(path) == LockState::free, "it is free again");
  }
  ::CloseHandle(file);
}

void own_locks(const std::string& path) {
  check(!holds(path), "nothing at first");
  const Outcome one = try_acquire(path, Mode::shared);
  const Outcome two = try_acquire(path, Mode::shared);
  const auto ticket = wait_for_lock(path);
  release(one.handle);
  check(holds(path), "one of two");
  check(!holds(path + ".other"), "no other file");
  release(two.handle);
  Outcome outcome;
  check(granted(ticket, outcome) && holds(path), "one that was waited for");
  release(outcome.handle);
  check(!holds(path), "nothing after that");
}

void endless_path(const std::string& path) {
  constexpr size_t kTooLong = 40000;
  const Outcome outcome = try_acquire(path + std::string(kTooLong, 'x'), Mode::exclusive);
  check(outcome.status == Status::failed && outcome.failure.code != 0, "it is told why");
}

void name_of_file_system(const std::string& path) {
  check(!file_system_of(path.substr(0, path.find_last_of("/\\"))).empty(), "there is one");
  check(file_system_of(path + "\\missing").empty(), "none of a directory that is not there");
}

}  // namespace

std::vector<Case> system_cases() {
  return {
      {"an opener that shares nothing for 200 ms", scanner},
      {"an opener that shares reading for 200 ms", scanner_that_shares_reading},
      {"a deletion that takes 200 ms", deletion},
      {"an opener that shares nothing for long", unshared},
      {"a deletion that does not end", endless_deletion},
      {"a held file is not deleted or renamed", nothing_is_deleted},
      {"a directory at the path", directory_at_path},
      {"a second link to the file", second_link},
      {"names of devices", reserved_name},
      {"a missing directory", missing_directory},
      {"spellings of a path", spellings},
      {"a foreign lock of an empty file", foreign_lock_of_an_empty_file},
      {"what this process holds", own_locks},
      {"a path of forty thousand characters", endless_path},
      {"what the file system is called", name_of_file_system},
  };
}

}  // namespace kernel_lock

// The steps that the non-blocking and the blocking acquisition share on Windows.
#pragma once

#include <windows.h>

#include <cstdint>
#include <string>

#include "lock.h"

namespace kernel_lock {

struct OpenFile {
  HANDLE handle = INVALID_HANDLE_VALUE;
  DWORD volume = 0;
  uint64_t index = 0;
};

// How long an open is tried again that a virus scanner, a backup or a deletion
// in progress is in the way of.
constexpr ULONGLONG kContentionMs = 500;

// Opens (or creates) the lock file without following or truncating it. `flags`
// may add FILE_FLAG_OVERLAPPED. `acquired` here means: opened. Who is in the way
// of that is given the grace; with an `interrupt`, a program that shares the
// file with nobody is given the time until that is signalled.
Outcome open_lock_file(const std::string& path, DWORD flags, HANDLE interrupt, OpenFile& file,
                       ULONGLONG grace_ms = kContentionMs);

// Whether `path` still leads to the opened file. Nobody can delete or rename
// it, because nobody is granted that sharing; its directory can be renamed.
bool still_at_path(const OpenFile& file, const std::string& path);

// Locks byte 0, the range that every other program's lock shares. `overlapped`
// is reset but for its event. Returns 0 or what GetLastError said.
DWORD lock_byte(HANDLE handle, Mode mode, DWORD flags, OVERLAPPED& overlapped);

// Whether an oplock says nothing of a lock: on a remote file, for which oplocks are
// denied, and on Wine, which has none and lets locked bytes be read.
bool lacks_oplocks(HANDLE handle);

// The runtime unloads an addon with the last worker that used it; threads and
// handlers of ours would go on in code that is gone.
void stay_loaded();

constexpr int kMaxReplacements = 1000;

inline Handle to_handle(HANDLE handle) { return reinterpret_cast<Handle>(handle); }
inline HANDLE from_handle(Handle handle) {
  // A HANDLE is a number in a pointer's clothes, and never dereferenced: no optimization is lost.
  return reinterpret_cast<HANDLE>(handle);  // NOLINT(performance-no-int-to-ptr)
}

inline Outcome failed(const char* syscall, DWORD code) {
  return {Status::failed, kNoHandle, {syscall, static_cast<int>(code)}};
}

}  // namespace kernel_lock

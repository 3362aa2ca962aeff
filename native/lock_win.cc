#include "held_win.h"
#include "lock_file_win.h"
#include "text_win.h"
#include "wine.h"

namespace kernel_lock {
namespace {

constexpr DWORD kPauseMs = 5;
constexpr DWORD kLongPauseMs = 50;

// Not FILE_SHARE_DELETE: a deletion would split a lock that is held.
constexpr DWORD kSharing = FILE_SHARE_READ | FILE_SHARE_WRITE;

HANDLE open_to_look(const std::wstring& path) {
  return ::CreateFileW(
      path.c_str(), FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
      nullptr, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS, nullptr);
}

bool look_at(const std::wstring& path, BY_HANDLE_FILE_INFORMATION& information) {
  HANDLE handle = open_to_look(path);
  if (handle == INVALID_HANDLE_VALUE) return false;
  const bool done = ::GetFileInformationByHandle(handle, &information) != 0;
  ::CloseHandle(handle);
  return done;
}

bool is_plain(const BY_HANDLE_FILE_INFORMATION& information) {
  constexpr DWORD kOther =
      FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT | FILE_ATTRIBUTE_DEVICE;
  // A second link would make the record appear in somebody else's file.
  return (information.dwFileAttributes & kOther) == 0 && information.nNumberOfLinks <= 1;
}

uint64_t index_of(const BY_HANDLE_FILE_INFORMATION& information) {
  return uint64_t{information.nFileIndexHigh} << 32 | information.nFileIndexLow;
}

bool exists_and_is_not_plain(const std::wstring& path) {
  BY_HANDLE_FILE_INFORMATION information;
  return look_at(path, information) && !is_plain(information);
}

struct Opened {
  HANDLE handle;
  DWORD error;
  bool created;
};

Opened create_file(const std::wstring& path, DWORD access, DWORD disposition, DWORD flags) {
  HANDLE handle =
      ::CreateFileW(path.c_str(), access, kSharing, nullptr, disposition,
                    FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT | flags, nullptr);
  const DWORD error = ::GetLastError();
  if (handle == INVALID_HANDLE_VALUE) return {handle, error, false};
  return {handle, 0, disposition == OPEN_ALWAYS && error != ERROR_ALREADY_EXISTS};
}

// Another user's file may be readable only; a lock needs no more. A deletion in
// progress looks the same (STATUS_DELETE_PENDING becomes ERROR_ACCESS_DENIED),
// but then reading is denied as well.
Opened open_or_create(const std::wstring& path, DWORD flags) {
  const Opened opened = create_file(path, GENERIC_READ | GENERIC_WRITE, OPEN_ALWAYS, flags);
  if (opened.error != ERROR_ACCESS_DENIED && opened.error != ERROR_WRITE_PROTECT) return opened;
  const Opened readable = create_file(path, GENERIC_READ, OPEN_EXISTING, flags);
  return readable.error == 0 ? readable : opened;
}

bool is_contention(DWORD error) {
  return error == ERROR_SHARING_VIOLATION || error == ERROR_ACCESS_DENIED ||
         error == ERROR_DELETE_PENDING || error == ERROR_LOCK_VIOLATION;
}

// `transfer(overlapped)` reads or writes at the offset, on a handle of either kind.
template <typename Transfer>
bool transfer_at(HANDLE handle, DWORD offset, DWORD& size, Transfer transfer) {
  OVERLAPPED overlapped = {};
  overlapped.Offset = offset;
  overlapped.hEvent = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  if (overlapped.hEvent == nullptr) return false;
  bool done = transfer(overlapped) != 0;
  if (!done && ::GetLastError() == ERROR_IO_PENDING) {
    done = ::GetOverlappedResult(handle, &overlapped, &size, TRUE) != 0;
  }
  ::CloseHandle(overlapped.hEvent);
  return done;
}

bool write_at(HANDLE handle, const char* bytes, size_t size, DWORD offset) {
  DWORD written = 0;
  return transfer_at(handle, offset, written, [&](OVERLAPPED& overlapped) {
    return ::WriteFile(handle, bytes, static_cast<DWORD>(size), &written, &overlapped);
  });
}

bool reads_at(HANDLE handle, const std::string& bytes, DWORD offset) {
  std::string found(bytes.size(), '\0');
  DWORD size = 0;
  return transfer_at(handle, offset, size,
                     [&](OVERLAPPED& overlapped) {
                       return ::ReadFile(handle, &found[0], static_cast<DWORD>(found.size()), &size,
                                         &overlapped);
                     }) &&
         size == found.size() && found == bytes;
}

// Where several have the file open, the record decides who is taken for the
// holder. One that has let go and waits again must not be. Another reader's
// record stays.
void blank_record(HANDLE handle, const std::string& record) {
  if (record.empty() || !reads_at(handle, record, 1)) return;
  write_at(handle, std::string(record.size(), ' ').data(), record.size(), 1);
}

// Whether asking who holds it means trying it; see lock_state.
bool is_probed(HANDLE handle) {
  LARGE_INTEGER size;
  return lacks_oplocks(handle) || (::GetFileSizeEx(handle, &size) && size.QuadPart == 0);
}

DWORD lock_at_once(HANDLE handle, Mode mode) {
  constexpr int kProbes = 3;
  OVERLAPPED overlapped = {};
  DWORD error = lock_byte(handle, mode, LOCKFILE_FAIL_IMMEDIATELY, overlapped);
  for (int i = 0; i < kProbes && error == ERROR_LOCK_VIOLATION && is_probed(handle); ++i) {
    ::Sleep(1);  // somebody's probe may have been in the way
    error = lock_byte(handle, mode, LOCKFILE_FAIL_IMMEDIATELY, overlapped);
  }
  return error;
}

}  // namespace

Outcome open_lock_file(const std::string& path, DWORD flags, HANDLE interrupt, OpenFile& file,
                       ULONGLONG grace_ms) {
  const std::wstring wide = long_path(path);
  if (wide.empty()) {
    const DWORD error = ::GetLastError();
    if (error == ERROR_BAD_DEVICE) return {Status::unsafe, kNoHandle, {}};
    return failed("GetFullPathNameW", error);
  }
  const ULONGLONG deadline = ::GetTickCount64() + grace_ms;
  Opened opened = open_or_create(wide, flags);
  while (is_contention(opened.error)) {
    if (exists_and_is_not_plain(wide)) return {Status::unsafe, kNoHandle, {}};
    const bool late = ::GetTickCount64() >= deadline;
    const bool endless = interrupt != nullptr && opened.error == ERROR_SHARING_VIOLATION;
    if (late && !endless) break;
    if (interrupt == nullptr) {
      ::Sleep(kPauseMs);
    } else if (::WaitForSingleObject(interrupt, late ? kLongPauseMs : kPauseMs) == WAIT_OBJECT_0) {
      return {Status::interrupted, kNoHandle, {}};
    }
    opened = open_or_create(wide, flags);
  }
  if (opened.error != 0) return failed("CreateFileW", opened.error);

  BY_HANDLE_FILE_INFORMATION information;
  if (::GetFileType(opened.handle) != FILE_TYPE_DISK) {
    ::CloseHandle(opened.handle);
    return {Status::unsafe, kNoHandle, {}};
  }
  if (!::GetFileInformationByHandle(opened.handle, &information)) {
    const Outcome outcome = failed("GetFileInformationByHandle", ::GetLastError());
    ::CloseHandle(opened.handle);
    return outcome;
  }
  if (!is_plain(information)) {
    ::CloseHandle(opened.handle);
    return {Status::unsafe, kNoHandle, {}};
  }
  // Under a shared lock nobody may write byte 0, not even its holder.
  if (opened.created) write_at(opened.handle, " ", 1, 0);
  file.handle = opened.handle;
  file.volume = information.dwVolumeSerialNumber;
  file.index = index_of(information);
  return {Status::acquired, to_handle(opened.handle), {}};
}

bool still_at_path(const OpenFile& file, const std::string& path) {
  BY_HANDLE_FILE_INFORMATION information;
  return look_at(long_path(path), information) && information.dwVolumeSerialNumber == file.volume &&
         index_of(information) == file.index;
}

bool lacks_oplocks(HANDLE handle) {
  FILE_REMOTE_PROTOCOL_INFO remote;
  return on_wine() ||
         ::GetFileInformationByHandleEx(handle, FileRemoteProtocolInfo, &remote, sizeof(remote));
}

DWORD lock_byte(HANDLE handle, Mode mode, DWORD flags, OVERLAPPED& overlapped) {
  HANDLE event = overlapped.hEvent;
  overlapped = {};
  overlapped.hEvent = event;
  if (mode == Mode::exclusive) flags |= LOCKFILE_EXCLUSIVE_LOCK;
  return ::LockFileEx(handle, flags, 0, 1, 0, &overlapped) ? 0 : ::GetLastError();
}

Outcome try_acquire(const std::string& path, Mode mode, bool wait_follows) {
  for (int round = 0; round < kMaxReplacements; ++round) {
    OpenFile file;
    const Outcome opened = open_lock_file(path, 0, nullptr, file, wait_follows ? 0 : kContentionMs);
    if (wait_follows && opened.status == Status::failed &&
        is_contention(static_cast<DWORD>(opened.failure.code))) {
      return {Status::held, kNoHandle, {}};
    }
    if (opened.status != Status::acquired) return opened;
    const DWORD error = lock_at_once(file.handle, mode);
    if (error != 0) {
      ::CloseHandle(file.handle);
      if (error == ERROR_LOCK_VIOLATION) return {Status::held, kNoHandle, {}};
      return failed("LockFileEx", error);
    }
    if (still_at_path(file, path)) {
      remember_held(opened.handle);
      return opened;
    }
    release(opened.handle);
  }
  return {Status::unsafe, kNoHandle, {}};
}

void write_record(Handle handle, const char* record, size_t size) {
  // A shared lock denies writing the locked byte to everyone, its holder too.
  if (!write_at(from_handle(handle), record, size, 0)) {
    write_at(from_handle(handle), record + 1, size - 1, 1);
  }
  remember_record(handle, record + 1, size - 1);
}

void release(Handle handle) {
  blank_record(from_handle(handle), forget_held(handle));
  // Closing alone frees the lock too, but "the time it takes for the operating
  // system to unlock these locks depends upon available system resources".
  OVERLAPPED overlapped = {};
  ::UnlockFileEx(from_handle(handle), 0, 1, 0, &overlapped);
  ::CloseHandle(from_handle(handle));
}

// Windows has no cleaner that goes by the times of a file that is open.
void touch(Handle /*handle*/) {}

bool is_current(Handle handle, const std::string& path) {
  BY_HANDLE_FILE_INFORMATION information;
  if (!::GetFileInformationByHandle(from_handle(handle), &information)) return false;
  return still_at_path(
      {from_handle(handle), information.dwVolumeSerialNumber, index_of(information)}, path);
}

bool is_same_file(const std::string& path, const std::string& other) {
  BY_HANDLE_FILE_INFORMATION information;
  return look_at(long_path(path), information) &&
         still_at_path(
             {INVALID_HANDLE_VALUE, information.dwVolumeSerialNumber, index_of(information)},
             other);
}

}  // namespace kernel_lock

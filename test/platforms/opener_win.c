// Has a file open as Node can't:
//   opener unshared|deleted|locked PATH [MILLISECONDS]
// unshared: nobody else may open it, as with virus scanners and backups; deleted: its deletion is
// pending until it is closed; locked: its first byte is, as by a program that writes no record.
// Says "open", and closes it after that time, or when its standard input ends.
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t** arguments) {
  if (count < 3) return 64;
  const BOOL unshared = lstrcmpW(arguments[1], L"unshared") == 0;
  const BOOL deleted = lstrcmpW(arguments[1], L"deleted") == 0;
  HANDLE file = CreateFileW(arguments[2], deleted ? DELETE : GENERIC_READ,
                            unshared ? 0 : FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                            NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  if (file == INVALID_HANDLE_VALUE) return (int)GetLastError();
  FILE_DISPOSITION_INFO disposition = {TRUE};
  if (deleted &&
      !SetFileInformationByHandle(file, FileDispositionInfo, &disposition, sizeof(disposition))) {
    return (int)GetLastError();
  }
  OVERLAPPED range = {0};
  if (lstrcmpW(arguments[1], L"locked") == 0 &&
      !LockFileEx(file, LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &range)) {
    return (int)GetLastError();
  }
  puts("open");
  fflush(stdout);
  if (count > 3) {
    Sleep((DWORD)_wtoi(arguments[3]));
  } else {
    while (getchar() != EOF) {
    }
  }
  CloseHandle(file);
  return 0;
}

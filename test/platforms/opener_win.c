// Has a file open as Node can't:
//   opener unshared|deleted PATH [MILLISECONDS]
// unshared: nobody else may open it, as with virus scanners and backups; deleted: its deletion is
// pending until it is closed. Says "open", and closes it after that time, or when its standard
// input ends.
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t** arguments) {
  if (count < 3) return 64;
  const BOOL deleted = lstrcmpW(arguments[1], L"deleted") == 0;
  HANDLE file = CreateFileW(arguments[2], deleted ? DELETE : GENERIC_READ,
                            deleted ? FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE : 0,
                            NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  if (file == INVALID_HANDLE_VALUE) return (int)GetLastError();
  FILE_DISPOSITION_INFO disposition = {TRUE};
  if (deleted &&
      !SetFileInformationByHandle(file, FileDispositionInfo, &disposition, sizeof(disposition))) {
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

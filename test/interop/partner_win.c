// A partner of the interop cases: LockFile and LockFileEx on [0, 1), as Go's gofrs/flock, Rust's
// fd-lock and Python's filelock have them. See partner.mjs for what it is told and says.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static const wchar_t* path;
static HANDLE file;

static void say(const char* word) {
  puts(word);
  fflush(stdout);
}

static void fail(const char* what) {
  fprintf(stderr, "%s failed with %lu\n", what, GetLastError());
  exit(1);
}

static void openFile(void) {
  file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                     OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  if (file == INVALID_HANDLE_VALUE) fail("CreateFileW");
}

static BOOL try(BOOL shared) {
  OVERLAPPED at = {0};
  BOOL held = shared ? LockFileEx(file, LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
                     : LockFile(file, 0, 0, 1, 0);
  if (!held && GetLastError() != ERROR_LOCK_VIOLATION) fail("LockFile");
  return held;
}

static void wait(BOOL shared) {
  OVERLAPPED at = {0};
  if (!LockFileEx(file, shared ? 0 : LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &at)) fail("LockFileEx");
}

static void unlock(void) {
  if (!UnlockFile(file, 0, 0, 1, 0)) fail("UnlockFile");
  CloseHandle(file);
}

static void acquire(BOOL waiting, BOOL shared) {
  openFile();
  if (!try(shared)) {
    if (!waiting) {
      CloseHandle(file);
      say("refused");
      return;
    }
    say("waits");
    wait(shared);
  }
  printf("held %lu\n", GetCurrentProcessId());
  fflush(stdout);
}

static void count(const char* counter, int times) {
  for (int i = 0; i < times; i++) {
    openFile();
    wait(FALSE);
    int value;
    FILE* stream = fopen(counter, "r");
    if (stream == NULL || fscanf(stream, "%d", &value) != 1) fail("reading the counter");
    fclose(stream);
    stream = fopen(counter, "w");
    if (stream == NULL || fprintf(stream, "%d", value + 1) < 1) fail("writing the counter");
    fclose(stream);
    unlock();
  }
  say("counted");
}

int wmain(int arguments, wchar_t** argument) {
  if (arguments < 2) return 64;
  path = argument[1];
  say("ready");
  char line[1024];
  while (fgets(line, sizeof(line), stdin) != NULL) {
    const char* verb = strtok(line, " \r\n");
    const char* first = strtok(NULL, " \r\n");
    const char* second = strtok(NULL, " \r\n");
    if (strcmp(verb, "lock") == 0 || strcmp(verb, "try") == 0) {
      acquire(strcmp(verb, "lock") == 0, strcmp(first, "sh") == 0);
    } else if (strcmp(verb, "count") == 0) {
      count(first, atoi(second));
    } else if (strcmp(verb, "unlock") == 0) {
      unlock();
      say("unlocked");
    }
  }
  return 0;
}

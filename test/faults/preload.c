// Preloaded, it makes one call fail that the addon makes, or that libstdc++ makes for it: in the
// file $KERNEL_LOCK_FAULTS stand which one (its place in CALLS of test/faults/plan.js; 0: none, and
// none is counted; -1: none), the how manieth, the error number, and how many there were of each.
// Calls of anybody else go through.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum {
  CONTROL_CALL,
  CONTROL_NUMBER,
  CONTROL_ERRNO,
  CONTROL_SEEN,  // of the call whose place is 0; the others follow
};

enum { FRAMES = 16 };

static _Atomic int32_t* g_control;

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("KERNEL_LOCK_FAULTS");
  const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* frames[FRAMES];
  backtrace(frames, FRAMES); /* the first one loads what it needs */
  void* map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) g_control = map;
  close(fd);
}

// Where a library's code lies: not by dladdr, which searches all of Node.js's symbols each time.
struct library {
  const char* name;
  _Atomic uintptr_t begin;  // 0: not there yet
  _Atomic uintptr_t end;
};
static struct library g_addon = {.name = "/kernel_lock.node"};
static struct library g_libstdcxx = {.name = "/libstdc++.so"};

static int find(struct dl_phdr_info* info, size_t size, void* raw) {
  (void)size;
  struct library* library = raw;
  if (strstr(info->dlpi_name, library->name) == NULL) return 0;
  for (int at = 0; at < info->dlpi_phnum; ++at) {
    const ElfW(Phdr)* part = &info->dlpi_phdr[at];
    if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0) continue;
    const uintptr_t begin = info->dlpi_addr + part->p_vaddr;
    library->end = begin + part->p_memsz;
    library->begin = begin;
  }
  return 1;
}

static int is_in(struct library* library, const void* code) {
  if (library->begin == 0) dl_iterate_phdr(find, library);
  return library->begin != 0 && (uintptr_t)code >= library->begin && (uintptr_t)code < library->end;
}

// Whether libstdc++ was called by the addon: the first that is not libstdc++, from `caller`
// outwards.
static int is_for_addon(const void* caller) {
  if (!is_in(&g_libstdcxx, caller)) return 0;
  void* frames[FRAMES];
  const int count = backtrace(frames, FRAMES);
  int at = 0;
  while (at < count && frames[at] != caller) ++at;
  while (at < count && is_in(&g_libstdcxx, frames[at])) ++at;
  return at < count && is_in(&g_addon, frames[at]);
}

// The error number, or 0.
static int fault(int call, const void* caller) {
  if (g_control == NULL || g_control[CONTROL_CALL] == 0) return 0;
  if (!is_in(&g_addon, caller) && !is_for_addon(caller)) return 0;
  const int32_t seen = ++g_control[CONTROL_SEEN + call];
  if (g_control[CONTROL_CALL] != call || seen != g_control[CONTROL_NUMBER]) return 0;
  return g_control[CONTROL_ERRNO];
}

// `failed` is what the call returns then. The functions have names of their own here, because the
// headers declare some of them with parameters that vary.
#define WRAP(number, result, name, parameters, arguments, failed) \
  result wrapped_##name parameters __asm__(#name);                \
  result wrapped_##name parameters {                              \
    static result(*real) parameters;                              \
    if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name);   \
    const int error = fault(number, __builtin_return_address(0)); \
    if (error == 0) return real arguments;                        \
    errno = error;                                                \
    return failed;                                                \
  }

WRAP(1, int, open64, (const char* path, int flags, mode_t mode), (path, flags, mode), -1)
WRAP(2, int, fstat64, (int fd, struct stat64* status), (fd, status), -1)
WRAP(3, int, lstat64, (const char* path, struct stat64* status), (path, status), -1)
WRAP(4, int, flock, (int fd, int operation), (fd, operation), -1)
WRAP(5, int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(6, ssize_t, pwrite64, (int fd, const void* data, size_t size, off64_t at),
     (fd, data, size, at), -1)
// The descriptor is gone all the same, as on Linux.
WRAP(7, int, close, (int fd), (fd), (real(fd), errno = error, -1))
WRAP(8, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument),
     (thread, attributes, body, argument), error)
WRAP(9, int, sigaction, (int number, const struct sigaction* action, struct sigaction* old),
     (number, action, old), -1)
WRAP(10, int, inotify_init1, (int flags), (flags), -1)
WRAP(11, int, inotify_add_watch, (int fd, const char* path, uint32_t mask), (fd, path, mask), -1)
WRAP(12, int, inotify_rm_watch, (int fd, int mark), (fd, mark), -1)
WRAP(13, int, poll, (struct pollfd * sources, nfds_t count, int timeout), (sources, count, timeout),
     -1)
WRAP(14, ssize_t, read, (int fd, void* data, size_t size), (fd, data, size), -1)
WRAP(15, ssize_t, readlink, (const char* path, char* target, size_t size), (path, target, size), -1)
WRAP(16, long, syscall, (long number, long a, long b, long c, long d, long e, long f),
     (number, a, b, c, d, e, f), -1)
WRAP(17, int, fcntl64, (int fd, int command, long argument), (fd, command, argument), -1)

WRAP(19, int, pipe2, (int ends[2], int flags), (ends, flags), -1)
WRAP(20, DIR*, opendir, (const char* path), (path), NULL)
WRAP(21, ssize_t, readlinkat, (int fd, const char* path, char* target, size_t size),
     (fd, path, target, size), -1)
WRAP(22, int, execvp, (const char* file, char* const* arguments), (file, arguments), -1)

WRAP(24, int, prctl, (int option, long a, long b, long c, long d), (option, a, b, c, d), -1)
WRAP(25, ssize_t, tee, (int from, int to, size_t size, unsigned flags), (from, to, size, flags), -1)
WRAP(26, int, getrlimit64, (int resource, struct rlimit64* limit), (resource, limit), -1)
WRAP(27, int, setrlimit64, (int resource, const struct rlimit64* limit), (resource, limit), -1)
WRAP(28, int, prlimit64,
     (pid_t process, int resource, const struct rlimit64* next, struct rlimit64* old),
     (process, resource, next, old), -1)
WRAP(29, struct dirent64*, readdir64, (DIR * directory), (directory), NULL)
WRAP(30, int, pthread_kill, (pthread_t thread, int number), (thread, number), error)
WRAP(31, int, futimens, (int fd, const struct timespec times[2]), (fd, times), -1)

// With a home of the scenario's own.
int user_of(uid_t user, struct passwd* entry, char* buffer, size_t size,
            struct passwd** found) __asm__("getpwuid_r");
int user_of(uid_t user, struct passwd* entry, char* buffer, size_t size, struct passwd** found) {
  static int (*real)(uid_t, struct passwd*, char*, size_t, struct passwd**);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "getpwuid_r");
  const int error = fault(32, __builtin_return_address(0));
  *found = NULL;
  if (error != 0) return error;
  const int result = real(user, entry, buffer, size, found);
  char* home = getenv("KERNEL_LOCK_FAULTS_HOME");
  if (home != NULL && *found != NULL) entry->pw_dir = home;
  return result;
}

// operator new, which throws.
void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");
void* operator_new(size_t size) __asm__("_Znwm");
void* operator_new(size_t size) {
  void* memory = fault(18, __builtin_return_address(0)) == 0 ? malloc(size) : NULL;
  if (memory == NULL) throw_bad_alloc();
  return memory;
}

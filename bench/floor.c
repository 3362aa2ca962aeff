// What the same work costs without JavaScript: the system calls of one acquisition and release, and
// hand-overs by a blocking flock. Answers lines on stdin with one line of JSON each.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_BYTES = 4096, MAX_SAMPLES = 4000, QUIET_MICROSECONDS = 3000 };

static char record[RECORD_BYTES];

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void die_with_parent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) exit(0);
}

// Open, check, lock, compare with the path, write the record: what kernel-lock does.
static int acquire(const char *path, int operation) {
  const int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  struct stat opened;
  struct stat named;
  int fd = open(path, O_RDWR | flags);
  if (fd < 0 && errno == ENOENT) fd = open(path, O_RDWR | O_CREAT | flags, S_ISVTX | 0644);
  if (fd < 0) fail("open");
  if (fstat(fd, &opened) != 0 || !S_ISREG(opened.st_mode)) fail("fstat");
  if (flock(fd, operation) != 0) fail("flock");
  if (lstat(path, &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
    fail("lstat");
  if (pwrite(fd, record, sizeof(record), 0) != sizeof(record)) fail("pwrite");
  return fd;
}

static void release(int fd) {
  flock(fd, LOCK_UN);
  close(fd);
}

static void cycles(const char *path, int milliseconds, int batch) {
  static double samples[MAX_SAMPLES];
  int count = 0;
  long long before = now();
  const long long end = before + milliseconds * 1000000LL;
  while (before < end && count < MAX_SAMPLES) {
    for (int i = 0; i < batch; i++) release(acquire(path, LOCK_EX | LOCK_NB));
    const long long after = now();
    samples[count++] = (double)(after - before) / batch;
    before = after;
  }
  for (int i = 0; i < count; i++) printf("%s%.1f", i == 0 ? "[" : ",", samples[i]);
  puts("]");
}

static void raise_file_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void serve(const char *path) {
  char line[80];
  int held = -1;
  int milliseconds;
  int batch;
  while (fgets(line, sizeof(line), stdin) != NULL) {
    if (sscanf(line, "cycle %d %d", &milliseconds, &batch) == 2) {
      cycles(path, milliseconds, batch);
    } else if (strcmp(line, "wait\n") == 0) {
      puts("{\"waiting\":true}");
      held = acquire(path, LOCK_EX);
      printf("{\"at\":%lld}\n", now());
    } else if (strcmp(line, "release\n") == 0) {
      // Who sent the command, and who reads the answer, must be asleep meanwhile.
      usleep(QUIET_MICROSECONDS);
      const long long at = now();
      release(held);
      usleep(QUIET_MICROSECONDS);
      printf("{\"at\":%lld}\n", at);
    } else {
      errno = EINVAL;
      fail(line);
    }
  }
}

struct turn {
  long long acquired;
  long long released;
};

// `count` processes; at each `queue` all of them wait for the lock once, at `report` they tell when
// they got it and when they gave it back.
static void crowd(const char *path, int count) {
  struct turn *turns = mmap(NULL, sizeof(struct turn) * (size_t)count, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int *gates = malloc(sizeof(int) * (size_t)count);
  pid_t *children = malloc(sizeof(pid_t) * (size_t)count);
  int done[2];
  char byte = 0;
  raise_file_limit();
  if (turns == MAP_FAILED || gates == NULL || children == NULL || pipe(done) != 0) fail("crowd");
  const pid_t parent = getpid();
  for (int i = 0; i < count; i++) {
    int gate[2];
    if (pipe(gate) != 0) fail("pipe");
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      die_with_parent(parent);
      close(gate[1]);
      while (read(gate[0], &byte, 1) == 1) {
        const int fd = acquire(path, LOCK_EX);
        turns[i].acquired = now();
        turns[i].released = now();
        release(fd);
        if (write(done[1], &byte, 1) != 1) _exit(1);
      }
      _exit(0);
    }
    close(gate[0]);
    gates[i] = gate[1];
    children[i] = child;
  }
  char line[80];
  while (fgets(line, sizeof(line), stdin) != NULL) {
    if (strcmp(line, "queue\n") == 0) {
      for (int i = 0; i < count; i++)
        if (write(gates[i], &byte, 1) != 1) fail("write");
      puts("{\"waiting\":true}");
      continue;
    }
    for (int i = 0; i < count; i++)
      if (read(done[0], &byte, 1) != 1) fail("read");
    for (int i = 0; i < count; i++)
      printf("%s[%lld,%lld]", i == 0 ? "[" : ",", turns[i].acquired, turns[i].released);
    puts("]");
  }
  for (int i = 0; i < count; i++) kill(children[i], SIGKILL);
  while (wait(NULL) > 0) continue;
}

static long resident(void) {
  long size = 0;
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%ld %ld", &size, &pages) != 2) fail("statm");
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

// Holds `count` locks at once, as often as it is told to. Samples are of a hundred locks each, from
// while more than half of all are held.
static void many(const char *directory, int count) {
  enum { CHUNK = 100 };
  raise_file_limit();
  int *held = calloc((size_t)count, sizeof(int));
  long long *acquired = calloc((size_t)count / CHUNK + 1, sizeof(long long));
  long long *released = calloc((size_t)count / CHUNK + 1, sizeof(long long));
  const int chunks = count / CHUNK;
  char path[4096];
  char line[80];
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof(path), "%s/n%d.lock", directory, i);
    release(acquire(path, LOCK_EX | LOCK_NB));
  }
  while (fgets(line, sizeof(line), stdin) != NULL) {
    const long before = resident();
    for (int i = 0; i < count; i++) {
      if (i % CHUNK == 0) acquired[i / CHUNK] = now();
      snprintf(path, sizeof(path), "%s/n%d.lock", directory, i);
      held[i] = acquire(path, LOCK_EX | LOCK_NB);
    }
    acquired[chunks] = now();
    const long after = resident();
    for (int i = 0; i < count; i++) {
      if (i % CHUNK == 0) released[i / CHUNK] = now();
      release(held[i]);
    }
    released[chunks] = now();
    printf("{\"resident\":%.1f,\"samples\":", (double)(after - before) / count);
    for (int i = 0, late = chunks / 2; late < chunks; i++, late++) {
      const long long both = acquired[late + 1] - acquired[late] + released[i + 1] - released[i];
      printf("%s%.1f", i == 0 ? "[" : ",", (double)both / CHUNK);
    }
    puts("]}");
  }
}

int main(int argc, char **argv) {
  memset(record, ' ', sizeof(record));
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);
  die_with_parent(getppid());
  if (argc == 3 && strcmp(argv[1], "serve") == 0) serve(argv[2]);
  else if (argc == 4 && strcmp(argv[1], "crowd") == 0) crowd(argv[2], atoi(argv[3]));
  else if (argc == 4 && strcmp(argv[1], "many") == 0) many(argv[2], atoi(argv[3]));
  else return 64;
  return 0;
}

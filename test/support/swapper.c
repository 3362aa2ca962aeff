/* Puts one thing after another in the place of a lock file, as fast as it can, until it is killed.
     swapper PATH KIND VICTIM
   `exchange`: what is at PATH and what is at VICTIM change places, again and again; `symlink` and
   `hardlink`: to VICTIM; `fifo`, `directory`, `socket` and `regular` are made anew each time. Says
   `ready` after the first round. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void make(const char* kind, const char* path, const char* victim) {
  if (strcmp(kind, "symlink") == 0) {
    (void)!symlink(victim, path);
  } else if (strcmp(kind, "hardlink") == 0) {
    (void)!link(victim, path);
  } else if (strcmp(kind, "fifo") == 0) {
    mkfifo(path, 0666);
  } else if (strcmp(kind, "directory") == 0) {
    mkdir(path, 0777);
  } else if (strcmp(kind, "socket") == 0) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(fd, (struct sockaddr*)&address, sizeof(address));
    close(fd);
  } else {
    close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0666));
  }
}

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  const char* path = argv[1];
  const char* kind = argv[2];
  const char* victim = argv[3];
  const int directory = strcmp(kind, "directory") == 0;
  const int exchange = strcmp(kind, "exchange") == 0;
  /* Odd: after as many exchanges, the other one is in place. */
  const int period = exchange ? 63 : 64;
  for (int round = 0;; ++round) {
    if (exchange) {
      renameat2(AT_FDCWD, path, AT_FDCWD, victim, RENAME_EXCHANGE);
    } else {
      make(kind, path, victim);
      if (round % 64 == 0) sched_yield(); /* on few processors: with it in place, and without */
      /* Others make it a file as well. */
      if (!directory || rmdir(path) != 0) unlink(path);
    }
    if (round % period == 32) sched_yield();
    if (round == 0) {
      puts("ready");
      fflush(stdout);
    }
  }
}

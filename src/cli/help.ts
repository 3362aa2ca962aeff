import type { Call } from './args.js';
import { printLine } from './output.js';

const GENERAL = `kernel-lock: exactly one process may do the job; the kernel holds the lock

  kernel-lock run NAME [options] -- COMMAND …   run a program under the lock
  kernel-lock check NAME                        who holds it?  exit 0 running, 1 not running
  kernel-lock kill NAME [--force]               ask the holder to stop and wait until it has
  kernel-lock wait NAME [--timeout SECONDS]     return when the lock is free
  kernel-lock list [--watch]                    every held lock, with its holder
  kernel-lock path NAME                         print the lock file's path
  kernel-lock migration                         print the SQL of the table that --postgres uses

  kernel-lock NAME --check                      the same as check NAME
  kernel-lock NAME --kill [--force]             the same as kill NAME

With --postgres [URL] the lock is one on a PostgreSQL server: run, check, kill, wait, list.

Every command takes --json, --scope machine|user, --directory /ABSOLUTE/PATH and --help.
Usage errors exit with 64.`;

const SERVER = `  --postgres [URL]        a lock on a PostgreSQL server, for all machines; without a URL, where
                          PGHOST and the like say`;

const LOCATION = `  --scope machine|user    where the lock lives (default: machine)
  --directory PATH        an existing directory instead, absolute
  --json                  machine-readable output`;

const COMMANDS: Record<string, string> = {
  run: `kernel-lock run NAME [options] -- COMMAND [ARGUMENT …]

Runs COMMAND while holding the lock NAME. On POSIX the command replaces this process and
inherits the lock. Exit status: the command's own; 75 when the lock is held; 126 or 127 when
the command can't be executed or found.

With --postgres this process stays beside the command, with the session that holds the lock. When
the lock is lost it stops the command, and exits with 76.

  -n, --nonblock          fail at once when the lock is held (default)
  -w, --wait [SECONDS]    wait for it, without end or for so long
  -s, --shared            a reader's lock
  -x, --exclusive         a writer's lock (default)
  -E, --conflict-exit-code N   instead of 75
${SERVER}
${LOCATION}`,
  check: `kernel-lock check NAME

Tells who holds the lock. Exit status: 0 running, 1 not running. It never gets into the way of
a program that is starting.

${SERVER}
${LOCATION}`,
  kill: `kernel-lock kill NAME [--force] [--timeout SECONDS]

Sends SIGTERM to the process that holds the lock and waits until the kernel has freed it. Exit
status: 0 gone, 1 none was running, 3 still running or not permitted.

  --force                 SIGKILL instead: no shutdown work is done
  --timeout SECONDS       how long to wait (default: 10)
${SERVER}
${LOCATION}`,
  wait: `kernel-lock wait NAME [--timeout SECONDS]

Returns when the lock is free. Exit status: 0, or 75 when the time ran out. Where asking does not tell
whether it is free, it waits in line; where nobody can acquire the lock, it fails as run does.

  --timeout SECONDS       how long to wait (default: without end)
${SERVER}
${LOCATION}`,
  list: `kernel-lock list [--watch]

Every lock that is held here, with its holders: a line each, '?' where something is not known,
and below why. On a terminal, long lines are cut.

  --watch                 a live view until Ctrl-C; into a pipe, the list again whenever
                          somebody acquires, releases or waits (with --json: on one line)
${SERVER}
${LOCATION}`,
  migration: `kernel-lock migration

Prints the SQL that makes the tables public.kernel_lock and public.kernel_lock_grant, which --postgres
keeps its tokens in. They are made on first use; this is for where the role that locks may not make
tables.`,
  path: `kernel-lock path NAME

Prints the path of the lock's file. The file's existence says nothing; it never needs to be
deleted.

${LOCATION}`,
};

export function help(call: Call): number {
  printLine((Object.hasOwn(COMMANDS, call.name) && COMMANDS[call.name]) || GENERAL);
  return 0;
}

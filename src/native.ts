import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adviceFor } from './advice.js';
import { isWhole, runsOnMusl } from './elf.js';
import { LockNativeError } from './errors.js';

/** A failed system call, as the native part reports it. */
export interface Failure {
  syscall: string;
  errno: number;
}

/** Results that are neither a number to go on with nor a failure; addon.cc has the same list. */
export const HELD = -1;
export const UNSAFE = -2;
export const PENDING = -3;
export const DEADLOCK = -4;
export const GONE = -5;

/** The native part, as addon.cc exports it. Locks, tickets and processes are numbers from 0. */
export interface Native {
  setRecordHead(head: string): void;
  tryAcquire(path: string, shared: boolean, recordTail: string, orderly: boolean): number | Failure;
  enqueue(
    path: string,
    shared: boolean,
    recordTail: string,
    /** Called when the wait is over; without it, the ticket is to be collected. */
    settled: ((result: number | Failure) => void) | undefined,
    endless: boolean,
  ): number | Failure;
  collect(ticket: number, milliseconds: number): number | Failure;
  /** Its time is up: it is settled in a moment, as `HELD` where the lock still is. */
  expire(ticket: number): void;
  withdraw(ticket: number): void;
  release(lock: number): void;
  isCurrent(lock: number): boolean;
  /**
   * Calls `changed` when the lock's path may lead elsewhere; then this is to be called again.
   * `false`: not every change would be noticed.
   */
  watch(lock: number, changed: () => void): boolean;
  unwatch(lock: number): void;
  touch(lock: number): void;
  lockState(path: string): 'free' | 'shared' | 'exclusive' | undefined;
  /** `GONE` where there is no such process. */
  pinProcess(pid: number): number | Failure;
  signalProcess(process: number, signal: number): typeof GONE | Failure | undefined;
  unpinProcess(process: number): void;
  /** The arguments are bytes, one character each. */
  replaceProcess(args: readonly string[], lock?: number): Failure;
  /** Linux: SIGKILL for this process when its parent ends. `false`: it has ended already. */
  endWithParent?(parent: number): boolean;
  /** macOS and Windows. */
  processFacts?(pid: number): NativeProcessFacts;
  /**
   * macOS: who holds a lock on the file, other users' processes only for root. Windows: who has it
   * open, this process left out.
   */
  openers?(path: string): number[] | undefined;
  /** macOS and Windows. */
  fileSystem?(directory: string): string | undefined;
  /** POSIX: the home of this process's user, by the user database. */
  homeDirectory?(): string | Failure | undefined;
  /**
   * POSIX, for the main thread: the signal has its default effect until `catchAgain`, and is handled
   * as before then, unless somebody has set another action since.
   */
  letThrough?(signal: number): void;
  catchAgain?(signal: number): void;
  /** Windows. */
  knownFolder?(user: boolean): string | Failure;
  makeDirectory?(path: string, everybodys: boolean): Failure | undefined;
  /** Whether this process, in any of its threads, holds a lock on the file. */
  holds?(path: string): boolean;
  /** Wine: the system names nobody who has a file open, and the owner record has to do. */
  trustsRecord?: boolean;
  /** Runs a program that can't outlive this process, and blocks until its end. */
  runInJob?(args: readonly string[]): number | Failure;
}

/** What the native part knows of a process; what it does not is left out. */
export interface NativeProcessFacts {
  startToken?: string;
  /** Milliseconds since 1970. */
  startedAt?: number;
  executable?: string;
  argv?: string[];
  cwd?: string;
  /** macOS. */
  uid?: number;
  user?: string;
  status?: string;
  cpuSeconds?: number;
  memoryBytes?: number;
}

let loaded: Native | undefined;

/** The native part, loaded on first use. Throws `LOCK_NATIVE` where that can't be done. */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  // In a CommonJS bundle, import.meta.url is empty.
  const here = import.meta.url ? fileURLToPath(import.meta.url) : __filename;
  const require = createRequire(here);
  const failures: Error[] = [];
  const loadFrom = (root: string): Native | undefined => {
    for (const file of placesIn(root)) {
      try {
        if (isWhole(file)) return require(file) as Native;
      } catch (error) {
        failures.push(error as Error);
      }
    }
    return undefined;
  };

  let root = dirname(dirname(here));
  let addon = loadFrom(root);
  if (addon !== undefined) return addon;
  try {
    // As part of a bundle, this file is not in the package, which may be installed all the same.
    const installed = dirname(require.resolve('kernel-lock/package.json'));
    if (installed !== root) addon = loadFrom(installed);
    root = installed;
  } catch (error) {
    failures.push(error as Error);
  }
  if (addon !== undefined) return addon;
  const cause = failures[0] ?? noAddon(root);
  throw new LockNativeError(adviceFor(cause, root), { cause });
}

// A build of this very machine comes first.
function placesIn(root: string): string[] {
  const prebuilds = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  return [
    join(root, 'build', 'Release', 'kernel_lock.node'),
    ...prebuildNames().map((name) => join(prebuilds, name)),
  ];
}

function prebuildNames(): string[] {
  const { arch, config, platform } = process;
  if (platform !== 'linux') return ['kernel-lock.node'];
  if (arch !== 'arm') return librariesOfLinux().map((library) => `kernel-lock${library}.node`);
  // ARMv6 (the first Raspberry Pi and the Zero) would die of an instruction that it does not know.
  const { arm_version: version = 7 } = config.variables as { arm_version?: number | string };
  if (Number(version) < 7) return [];
  return librariesOfLinux().map((library) => `kernel-lock.armv7${library}.node`);
}

// Where it can't be told, the wrong one does not load.
function librariesOfLinux(): string[] {
  const musl = runsOnMusl(process.execPath);
  if (musl === undefined) return ['.glibc', '.musl'];
  return [musl ? '.musl' : '.glibc'];
}

function noAddon(root: string): Error {
  const places = placesIn(root).join(', ');
  return Object.assign(new Error(`no such file: ${places}`), { code: 'ENOENT' });
}

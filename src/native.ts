import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
  pinProcess(pid: number): number | Failure;
  signalProcess(process: number, signal: number): Failure | undefined;
  unpinProcess(process: number): void;
  /** The arguments are bytes, one character each. */
  replaceProcess(args: readonly string[], lock: number): Failure;
  /** macOS and Windows. */
  processFacts?(pid: number): NativeProcessFacts;
  /** macOS: who holds a lock on the file. Windows: who has it open; not this process. */
  openers?(path: string): number[] | undefined;
  /** Windows. */
  knownFolder?(user: boolean): string | Failure;
  makeSharedDirectory?(path: string): Failure | undefined;
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
  const require = createRequire(import.meta.url);
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  let failure: unknown;
  for (const file of usualPlaces(root)) {
    if (!existsSync(file)) continue;
    try {
      return require(file) as Native;
    } catch (error) {
      failure ??= error;
    }
  }
  try {
    if (failure !== undefined) throw failure;
    return require('node-gyp-build')(root) as Native;
  } catch (cause) {
    throw new LockNativeError(advice(cause), { cause });
  }
}

// Where node-gyp-build finds the addon as well, but in a third of the time. A build of this very
// machine comes first; of the two C libraries, the wrong one does not load.
function usualPlaces(root: string): string[] {
  const prebuilds = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  return [
    join(root, 'build', 'Release', 'kernel_lock.node'),
    ...['kernel-lock', 'kernel-lock.glibc', 'kernel-lock.musl'].map((name) =>
      join(prebuilds, `${name}.node`),
    ),
  ];
}

function advice(cause: unknown): string {
  const error = cause as NodeJS.ErrnoException;
  if (error.code === 'ERR_DLOPEN_DISABLED') {
    return "Node's permission model forbids native addons here; start node with --allow-addons as well";
  }
  return (
    `kernel-lock has no native part for ${process.platform}-${process.arch} that loads here (${error.message.split('\n')[0]}). ` +
    'Build it with `npm rebuild kernel-lock`, which needs Python, make and a C++ compiler'
  );
}

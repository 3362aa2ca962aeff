// Acquiring: at once, in line, blocking or not.

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { LockDeadlockError } from './errors.js';
import { tellAcquired, tellRefused, tellWaited } from './events.js';
import type { FileLocks } from './kernel.js';
import { Lock } from './lock.js';
import { DEADLOCK, type Failure, HELD, native, UNSAFE } from './native.js';
import {
  checkInput,
  LOCATION_OPTIONS,
  LOCK_OPTIONS,
  LOCK_SYNC_OPTIONS,
  TRY_LOCK_OPTIONS,
} from './options.js';
import { type Program, recordHead, recordTail } from './owner.js';
import { lockFile } from './path.js';
import { heldError, locksOfRefusal, timeoutError } from './refusal.js';
import {
  checkDirectory,
  errorOf,
  isMissingDirectory,
  isUnshared,
  type LockRequest,
} from './request.js';
import type { LocationOptions, LockOptions, LockSyncOptions, TryLockOptions } from './types.js';
import { CANCELLED, TIMED_OUT, waitAsync, waitSync } from './wait.js';
import { holdWhile } from './with.js';

/**
 * Acquires the lock: at once, or it fails with `LOCK_HELD`; with `wait`, when those who asked
 * before have had it. A pending wait keeps the process alive.
 *
 * @throws (rejects) LockError `LOCK_HELD`; `LOCK_TIMEOUT`; the signal's reason; and, with nothing
 *   touched, `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`; `LOCK_UNSAFE_PATH`, `LOCK_PERMISSION`,
 *   `LOCK_UNSUPPORTED`, `LOCK_SYSTEM`, `LOCK_NATIVE`.
 */
export function lock(name: string, options: LockOptions = {}): Promise<Lock> {
  try {
    const checked = checkInput(name, options, LOCK_OPTIONS);
    const { wait = false, signal } = checked;
    const request = requestOf(name, checked);
    signal?.throwIfAborted();
    const lock = acquireNow(request, wait);
    if (lock !== undefined) return Promise.resolve(lock);
    if (wait === false) return Promise.resolve(retryOrRefuse(request));
    const started = performance.now();
    return waitAsync(request, wait, signal, (result) => {
      if (result === CANCELLED) {
        tellWaited(request, 'cancelled', performance.now() - started);
        throw signal?.reason;
      }
      return afterWait(request, wait, started, result);
    });
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * The same, synchronously: with `wait`, it blocks the thread.
 *
 * @throws LockError as `lock` rejects, and `LOCK_DEADLOCK` for a wait without end for what this
 *   very thread holds or waits for.
 */
export function lockSync(name: string, options: LockSyncOptions = {}): Lock {
  const checked = checkInput(name, options, LOCK_SYNC_OPTIONS);
  const { wait = false } = checked;
  const request = requestOf(name, checked);
  const lock = acquireNow(request, wait);
  if (lock !== undefined) return lock;
  if (wait === false) return retryOrRefuse(request);
  const started = performance.now();
  const result = waitSync(request, wait);
  if (result === DEADLOCK) {
    throw new LockDeadlockError(
      `Waiting for '${name}' would never end: this very thread holds it or waits for it already`,
      { lockName: name, path: request.path },
    );
  }
  return afterWait(request, wait, started, result);
}

/**
 * Acquires the lock if nobody holds it; `null` if somebody does. Never waits.
 *
 * @throws LockError as `lock` rejects, except `LOCK_HELD`.
 */
export function tryLock(name: string, options: TryLockOptions = {}): Lock | null {
  const request = requestOf(name, checkInput(name, options, TRY_LOCK_OPTIONS));
  const lock = acquireNow(request, false);
  if (lock !== undefined) return lock;
  const retried = retryWhileFree(request);
  if (retried instanceof Lock) return retried;
  tellRefused(request, 0, () => heldError(request, retried).holder);
  return null;
}

/**
 * Acquires the lock, runs `fn` with it, and releases it however `fn` ends. A function that wants to
 * know whether the lock is lost takes its signal: `withLock('name', async ({ signal }) => …)`.
 *
 * @throws (rejects) as `lock` does, and with whatever `fn` throws; `LOCK_LOST` where `fn` read the
 *   signal and returned, but the lock was lost meanwhile: its result is in doubt.
 */
export function withLock<T>(name: string, fn: (lock: Lock) => T | Promise<T>): Promise<T>;
export function withLock<T>(
  name: string,
  options: LockOptions,
  fn: (lock: Lock) => T | Promise<T>,
): Promise<T>;
export function withLock<T>(
  name: string,
  optionsOrFn: LockOptions | ((lock: Lock) => T | Promise<T>),
  fn?: (lock: Lock) => T | Promise<T>,
): Promise<T> {
  return holdWhile((options) => lock(name, options), Lock.confirm, optionsOrFn, fn);
}

/**
 * The absolute path of the lock's file; nothing is created. It depends on the name and the
 * options alone, never on the working directory or the environment.
 *
 * @throws LockError `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`.
 */
export function lockPath(name: string, options: LocationOptions = {}): string {
  return lockFile(name, checkInput(name, options, LOCATION_OPTIONS));
}

/**
 * @internal What this process's records will say it is: `program`, which it is about to become.
 */
export function announceProgram(program: Program): void {
  recordedDirectory = workingDirectory();
  native().setRecordHead(recordHead(recordedDirectory, program));
}

// How often a refusal is checked once more whose holder has gone, before it is told without one.
const RETRIES = 8;
// In a PID namespace asking takes the lock for an instant, and whoever asks may be kept from running
// in that instant. For how long it is checked, in milliseconds, where somebody is seen to ask, and
// where nobody can be named.
const TRIED_GRACE = 2000;
const UNNAMED_GRACE = 50;

function requestOf(name: string, options: LockOptions): LockRequest {
  return {
    name,
    path: lockFile(name, options),
    shared: options.shared ?? false,
    recordTail: recordTail(options.metadata),
    ownDirectory:
      options.scope === 'user' || (process.platform === 'win32' && options.directory === undefined),
    everybodys: options.scope !== 'user',
  };
}

function acquireNow(request: LockRequest, wait: boolean | number): Lock | undefined {
  checkDirectory(request);
  updateRecordHead();
  const orderly = wait !== false;
  const { path, shared, recordTail } = request;
  // On Windows any user may have put a link there, before the first lock of the machine.
  if (request.ownDirectory && request.everybodys && !sharedDirectories.has(dirname(path))) {
    makeDirectory(request);
    sharedDirectories.add(dirname(path));
  }
  let result = native().tryAcquire(path, shared, recordTail, orderly);
  if (request.ownDirectory && typeof result === 'object' && isMissingDirectory(result)) {
    makeDirectory(request);
    checkDirectory(request); // somebody else's, made in this moment
    result = native().tryAcquire(path, shared, recordTail, orderly);
  }
  // A wait goes on trying.
  if (orderly && typeof result === 'object' && isUnshared(result)) return undefined;
  return result === HELD ? undefined : granted(request, result, 0);
}

const sharedDirectories = new Set<string>();

function makeDirectory(request: LockRequest): void {
  const directory = dirname(request.path);
  if (native().makeDirectory !== undefined) {
    const failure = native().makeDirectory?.(directory, request.everybodys);
    if (failure !== undefined) throw errorOf(failure, request);
    return;
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { syscall = 'mkdir', errno = 0 } = error as NodeJS.ErrnoException;
    throw errorOf({ syscall, errno: -errno }, request);
  }
}

function granted(request: LockRequest, result: number | Failure, waitedMs: number): Lock {
  if (typeof result === 'object' || result === UNSAFE) throw errorOf(result, request);
  const lock = new Lock(request, result);
  tellAcquired(lock, waitedMs);
  return lock;
}

function afterWait(
  request: LockRequest,
  wait: true | number,
  started: number,
  result: number | Failure | typeof TIMED_OUT,
): Lock {
  const waitedMs = performance.now() - started;
  if (result === TIMED_OUT) {
    const error = timeoutError(request, locksOfRefusal(request), wait);
    tellWaited(request, 'timeout', waitedMs);
    tellRefused(request, waitedMs, () => error.holder);
    throw error;
  }
  const failed = typeof result === 'object' || result === UNSAFE;
  tellWaited(request, failed ? 'failed' : 'acquired', waitedMs);
  return granted(request, result, waitedMs);
}

// Where the kernel knows no holder any more, the lock has been freed since, or was held for the
// blink of an eye by somebody who asked or waited: a refusal would be a false one.
function retryWhileFree(request: LockRequest): Lock | FileLocks {
  const started = performance.now();
  let tried = false;
  let seen = 0;
  let free = 0;
  for (;;) {
    const locks = locksOfRefusal(request);
    tried ||= locks.tried === true; // one who asks is not seen while it lets go
    if (locks.held || locks.tried) {
      const grace = tried ? TRIED_GRACE : UNNAMED_GRACE;
      const over = seen++ > 0 && performance.now() - started >= grace;
      if (over || locks.holders.some((one) => !one.elsewhere)) return locks;
      Atomics.wait(NEVER, 0, 0, 1);
    } else if (free++ === RETRIES) {
      return locks;
    }
    const lock = acquireNow(request, false);
    if (lock !== undefined) return lock;
  }
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

function retryOrRefuse(request: LockRequest): Lock {
  const retried = retryWhileFree(request);
  if (retried instanceof Lock) return retried;
  const error = heldError(request, retried);
  tellRefused(request, 0, () => error.holder);
  throw error;
}

let recordedDirectory: string | undefined;

// The rest of the record's constant part never changes.
function updateRecordHead(): void {
  const directory = workingDirectory();
  if (directory === recordedDirectory) return;
  recordedDirectory = directory;
  native().setRecordHead(recordHead(directory));
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return ''; // deleted
  }
}

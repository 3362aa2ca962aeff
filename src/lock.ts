import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { LockDeadlockError, LockHeldError, LockLostError, LockTimeoutError } from './errors.js';
import { tellAcquired, tellLost, tellRefused, tellReleased, tellWaited } from './events.js';
import { locksOn, statusOf } from './inspect.js';
import { type FileLocks, UNLOCKED } from './kernel.js';
import { watchFile } from './lost.js';
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
import { errorOf, isMissingDirectory, type LockRequest, systemError } from './request.js';
import type {
  Holder,
  LocationOptions,
  LockOptions,
  LockSyncOptions,
  TryLockOptions,
} from './types.js';
import { CANCELLED, TIMED_OUT, waitAsync, waitSync } from './wait.js';

/**
 * A lock that this process holds. It holds until `release()` or the end of the process (or of
 * the worker thread that acquired it), whether anybody keeps the object or not: garbage
 * collection releases nothing. It does not keep the process alive, and child processes do not
 * inherit it.
 */
export class Lock {
  /** The name it was acquired by. */
  readonly name: string;
  /** The absolute path of its file. */
  readonly path: string;
  /** Whether it is a reader's lock, which others may hold as readers too. */
  readonly shared: boolean;

  readonly #acquiredAt = performance.now();
  #id: number | undefined;
  #lost: AbortController | undefined;
  #stopWatching: (() => void) | undefined;

  /** @internal Locks come from `lock`, `lockSync`, `tryLock` and `withLock`. */
  constructor(request: LockRequest, id: number) {
    this.name = request.name;
    this.path = request.path;
    this.shared = request.shared;
    this.#id = id;
  }

  /** `true` until `release()`, or until `signal` told that the lock was lost. */
  get held(): boolean {
    return this.#id !== undefined && this.#lost?.signal.aborted !== true;
  }

  /**
   * Aborts with a `LockLostError` when the lock's file was deleted, renamed or replaced while it
   * was held, because another process can then acquire the name too. Watching starts when this
   * is first read; a lock whose signal nobody reads pays nothing. Releasing ends it.
   */
  get signal(): AbortSignal {
    if (this.#lost === undefined) {
      this.#lost = new AbortController();
      if (this.#id === undefined) return this.#lost.signal;
      this.#stopWatching = watchFile(this.path, () => this.#verify());
      this.#verify();
    }
    return this.#lost.signal;
  }

  /** Releases the lock now; a second call does nothing. Never throws. */
  release(): void {
    if (this.#id === undefined) return;
    const lost = !this.held;
    this.#stopWatching?.();
    native().release(this.#id);
    this.#id = undefined;
    if (!lost) tellReleased(this, this.#acquiredAt);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
  }

  #verify(): void {
    if (!this.held || native().isCurrent(this.#id as number)) return;
    this.#stopWatching?.();
    const error = new LockLostError(
      `The lock '${this.name}' was lost: ${this.path} was deleted or replaced while it was held`,
      { lockName: this.name, path: this.path },
    );
    this.#lost?.abort(error);
    tellLost(this, this.#acquiredAt, error);
  }

  /** @internal Becomes a program, which inherits the lock; returns the error where that failed. */
  static become(lock: Lock, args: readonly string[]): NodeJS.ErrnoException {
    if (lock.#id === undefined) throw new Error('not held');
    return systemError(native().replaceProcess(args, lock.#id));
  }
}

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
  tellRefused(request, 0, () => holderOf(request, retried));
  return null;
}

/**
 * Acquires the lock, runs `fn` with it, and releases it however `fn` ends.
 *
 * @throws (rejects) as `lock` does, and with whatever `fn` throws.
 */
export async function withLock<T>(name: string, fn: (lock: Lock) => T | Promise<T>): Promise<T>;
export async function withLock<T>(
  name: string,
  options: LockOptions,
  fn: (lock: Lock) => T | Promise<T>,
): Promise<T>;
export async function withLock<T>(
  name: string,
  optionsOrFn: LockOptions | ((lock: Lock) => T | Promise<T>),
  fn?: (lock: Lock) => T | Promise<T>,
): Promise<T> {
  const [options, run] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, fn];
  if (typeof run !== 'function') throw new TypeError('withLock wants a function to run');
  const held = await lock(name, options);
  try {
    return await run(held);
  } finally {
    held.release();
  }
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
  updateRecordHead();
  const orderly = wait !== false;
  const { path, shared, recordTail } = request;
  let result = native().tryAcquire(path, shared, recordTail, orderly);
  if (request.ownDirectory && typeof result === 'object' && isMissingDirectory(result)) {
    makeDirectory(request);
    result = native().tryAcquire(path, shared, recordTail, orderly);
  }
  return result === HELD ? undefined : granted(request, result, 0);
}

function makeDirectory(request: LockRequest): void {
  if (request.everybodys && native().makeSharedDirectory !== undefined) {
    const failure = native().makeSharedDirectory?.(dirname(request.path));
    if (failure !== undefined) throw errorOf(failure, request);
    return;
  }
  try {
    mkdirSync(dirname(request.path), { recursive: true, mode: 0o700 });
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
    const holder = holderOf(request, locksOfRefusal(request));
    tellWaited(request, 'timeout', waitedMs);
    tellRefused(request, waitedMs, () => holder);
    throw timedOut(request, wait, holder);
  }
  const failed = typeof result === 'object' || result === UNSAFE;
  tellWaited(request, failed ? 'failed' : 'acquired', waitedMs);
  return granted(request, result, waitedMs);
}

// Where the kernel knows no holder any more, the lock has been freed since, or was held for the
// blink of an eye by somebody who asked or waited: a refusal would be a false one.
function retryWhileFree(request: LockRequest): Lock | FileLocks {
  let locks = locksOfRefusal(request);
  for (let retry = 0; !locks.held && retry < RETRIES; retry++) {
    const lock = acquireNow(request, false);
    if (lock !== undefined) return lock;
    locks = locksOfRefusal(request);
  }
  return locks;
}

// The lock was refused, so it is held, also where nothing more can be told (no /proc, no
// descriptor left to read it with).
function locksOfRefusal({ name, path }: LockRequest): FileLocks {
  try {
    return locksOn(name, path);
  } catch {
    return { ...UNLOCKED, held: true, waiters: undefined };
  }
}

// A refusal names the holder.
function retryOrRefuse(request: LockRequest): Lock {
  const retried = retryWhileFree(request);
  if (retried instanceof Lock) return retried;
  const { name, path } = request;
  const holder = holderOf(request, retried);
  tellRefused(request, 0, () => holder);
  throw new LockHeldError(`'${name}' is held by ${nameHolder(holder?.pid)}`, {
    lockName: name,
    path,
    holder,
  });
}

function holderOf({ name, path }: LockRequest, locks: FileLocks): Holder | undefined {
  return statusOf(name, path, locks).holders[0];
}

function timedOut(
  { name, path }: LockRequest,
  wait: true | number,
  holder: Holder | undefined,
): LockTimeoutError {
  return new LockTimeoutError(
    `'${name}' was still held by ${nameHolder(holder?.pid)} after ${wait} ms`,
    { lockName: name, path, holder },
  );
}

function nameHolder(pid: number | undefined): string {
  if (pid === undefined) return 'a process that could not be identified';
  return pid === process.pid ? `this process (PID ${pid})` : `PID ${pid}`;
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

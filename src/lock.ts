// A lock that is held.

// Symbol.dispose, also for a program whose own target is older.
/// <reference lib="esnext.disposable" preserve="true" />
import { LockLostError } from './errors.js';
import { tellLost, tellReleased } from './events.js';
import { keepFresh, letAge } from './fresh.js';
import { watchLock } from './lost.js';
import { native } from './native.js';
import { type LockRequest, systemError } from './request.js';

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
    if (deletesUnused) keepFresh(id);
  }

  /** `true` until `release()`, or until `signal` told that the lock was lost. */
  get held(): boolean {
    return this.#id !== undefined && this.#lost?.signal.aborted !== true;
  }

  /**
   * Aborts with a `LockLostError` when the lock's path leads to the locked file no more, because
   * another process can then acquire the name too: the file was deleted, renamed or replaced, or a
   * directory or a link on the way to it was, or (Linux) something was mounted over one. Watching
   * starts when this is first read; a lock whose signal nobody reads pays nothing. Releasing ends
   * it, and keeps the signal as it is.
   *
   * The kernel tells of the change at once (inotify on Linux, kqueue on macOS). Where it does not,
   * the path is looked at once a second: with a directory above it that this user may not read, and
   * where the user's inotify instances or watches are used up (`fs.inotify.max_user_instances`).
   * On Windows the open file keeps itself and its directories in their places; a junction on the
   * way is looked at once a second. A change made by another computer on a network file system
   * sends no event.
   */
  get signal(): AbortSignal {
    if (this.#lost === undefined) {
      this.#lost = new AbortController();
      if (this.#id === undefined) return this.#lost.signal;
      this.#stopWatching = watchLock(this.#id, () => this.#verify());
      this.#verify();
    }
    return this.#lost.signal;
  }

  /** Releases the lock now; a second call does nothing. Never throws. */
  release(): void {
    if (this.#id === undefined) return;
    const lost = !this.held;
    this.#stopWatching?.();
    if (deletesUnused) letAge(this.#id);
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
      `The lock '${this.name}' was lost: ${this.path} was deleted, moved or replaced while it was held`,
      { lockName: this.name, path: this.path },
    );
    this.#lost?.abort(error);
    tellLost(this, this.#acquiredAt, error);
  }

  /** @internal Throws `LOCK_LOST` where the signal was asked for and the lock was lost. */
  static confirm(lock: Lock): void {
    if (lock.#lost === undefined) return;
    lock.#verify();
    lock.#lost.signal.throwIfAborted();
  }

  /** @internal Becomes a program, which inherits the lock; returns the error where that failed. */
  static become(lock: Lock, args: readonly string[]): NodeJS.ErrnoException {
    if (lock.#id === undefined) throw new Error('not held');
    return systemError(native().replaceProcess(args, lock.#id));
  }
}

// Whether this system cleans up among the lock files.
const deletesUnused = process.platform === 'darwin';

// Symbol.dispose, also for a program whose own target is older.
/// <reference lib="esnext.disposable" preserve="true" />
import { LockLostError } from '../errors.js';
import { tellAcquired, tellLost, tellReleased } from '../events.js';
import type { JsonValue } from '../types.js';
import { unlock } from './release.js';
import type { Session } from './session.js';

/** One request for a lock. */
export interface Request {
  readonly name: string;
  readonly key: string;
  readonly path: string;
  readonly shared: boolean;
  readonly metadata: JsonValue | undefined;
}

/**
 * A lock that a session of this process with a PostgreSQL server holds. It holds until `release()`,
 * or until the session ends: with the process, with the connection, with the server. It does not
 * keep the process alive.
 */
export class Lock {
  /** The name it was acquired by. */
  readonly name: string;
  /** The database that it is in, as a URL without user and password. */
  readonly path: string;
  /** Whether it is a reader's lock, which others may hold as readers too. */
  readonly shared: boolean;
  /**
   * The fencing token: greater than that of every grant of this name before it. Give it to what the
   * lock guards, and let that refuse a smaller one than it has seen.
   */
  readonly token: bigint;

  readonly #acquiredAt = performance.now();
  #lost: Error | undefined;
  #controller: AbortController | undefined;
  readonly #session: Session;
  readonly #request: Request;
  readonly #leave: () => Promise<void>;
  #released: Promise<void> | undefined;

  /** @internal Locks come from `lock`, `tryLock` and `withLock`. */
  constructor(
    request: Request,
    token: bigint,
    session: Session,
    waitedMs: number,
    leave: () => Promise<void>,
  ) {
    this.name = request.name;
    this.path = request.path;
    this.shared = request.shared;
    this.token = token;
    this.#session = session;
    this.#request = request;
    this.#leave = leave;
    tellAcquired(this, waitedMs);
    session.keep(this.#dependent); // which tells where it is lost by now
  }

  /** `true` until `release()`, or until `signal` told that the lock was lost. */
  get held(): boolean {
    return this.#released === undefined && this.#lost === undefined;
  }

  /**
   * Aborts with a `LockLostError` on any doubt that the session still holds the lock: its connection
   * was closed or failed (the server was stopped, crashed or failed over; somebody ended the
   * session), the server left a heartbeat unanswered in time, or another session answered (a pooler).
   * By then another client may hold the name, so stop. A release can be what finds it out; after it the
   * signal stays as it is.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#lost !== undefined) this.#controller.abort(this.#lost);
    }
    return this.#controller.signal;
  }

  /**
   * Releases the lock; a second call does nothing. Resolves when the server has freed it, or when
   * the connection is closed, which frees it too. Never rejects.
   */
  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    const released = await unlock(this.#session, this.#request);
    this.#session.letGo(this.#dependent);
    if (!released) this.#lose('its session did not hold it any more', undefined);
    if (this.#lost === undefined) tellReleased(this, this.#acquiredAt);
    await this.#leave();
  }

  [Symbol.dispose](): void {
    void this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  readonly #dependent = {
    lose: (reason: string, cause: unknown) => this.#lose(reason, cause),
    // By this process, which may be releasing it just now.
    close: () => {
      if (this.held) this.#lose('its session was closed', undefined);
    },
  };

  #lose(reason: string, cause: unknown): void {
    if (this.#lost !== undefined) return;
    const { name: lockName, path } = this;
    const error = new LockLostError(`The lock '${lockName}' on ${path} may be lost: ${reason}`, {
      lockName,
      path,
      cause,
    });
    this.#lost = error;
    this.#controller?.abort(error);
    tellLost(this, this.#acquiredAt, error);
  }
}

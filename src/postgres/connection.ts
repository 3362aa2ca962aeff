// Symbol.asyncDispose, also for a program whose own target is older.
/// <reference lib="esnext.disposable" preserve="true" />
import { LockHeldError } from '../errors.js';
import { refusalsAreHeard } from '../events.js';
import { checkInput, type OptionName } from '../options.js';
import type { PostgresStatus } from '../types.js';
import { holdWhile } from '../with.js';
import { acquireAlone, attempt, retryOrRefuse, type Wish } from './acquire.js';
import { errorOf } from './failure.js';
import { listOn, statusOn } from './inspect.js';
import { keyOf } from './key.js';
import { Lock } from './lock.js';
import type { Session } from './session.js';
import { killed, type Termination, terminateOn } from './terminate.js';
import type { KillOptions, LockOptions, ServerOptions, TryLockOptions } from './types.js';

export const TRY_OPTIONS: readonly OptionName[] = ['shared', 'metadata'];
export const LOCK_OPTIONS: readonly OptionName[] = [...TRY_OPTIONS, 'wait', 'signal'];
export const KILL_OPTIONS: readonly OptionName[] = ['timeout'];

/**
 * One session that many locks share; it comes from `connect`. All of them are lost when it is.
 *
 * A lock that has to wait, and a second reader of one name, have a session of their own all the
 * same: the server has one line for each, and a session that waits can do nothing else.
 */
export class Connection {
  readonly #server: ServerOptions;
  readonly #session: Session;
  // A session is granted again what it holds: here, each key is asked for once.
  readonly #keys = new Set<string>();

  /** @internal Connections come from `connect`. */
  constructor(server: ServerOptions, session: Session) {
    this.#server = server;
    this.#session = session;
  }

  /** As `lock` of this module. */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    const checked = checkInput(name, options, LOCK_OPTIONS);
    checked.signal?.throwIfAborted();
    const wish = await wishOf(name, checked);
    // Which hears an abort with the server's answer: other locks are on the same session.
    const lock = await this.#acquire(wish, !checked.wait, checked.signal).catch((error) => {
      checked.signal?.throwIfAborted();
      throw error;
    });
    if (checked.signal?.aborted && lock instanceof Lock) await lock.release();
    checked.signal?.throwIfAborted();
    if (lock instanceof Lock) return lock;
    if (lock instanceof LockHeldError) throw lock;
    return await acquireAlone(this.#server, wish, checked);
  }

  /** As `tryLock` of this module. */
  async tryLock(name: string, options: TryLockOptions = {}): Promise<Lock | null> {
    const checked = checkInput(name, options, TRY_OPTIONS);
    const wish = await wishOf(name, checked);
    // The server is asked for the holder only where somebody listens.
    const lock = await this.#acquire(wish, refusalsAreHeard());
    if (lock === 'another') return await nullIfHeld(acquireAlone(this.#server, wish, {}));
    return lock instanceof Lock ? lock : null;
  }

  /** As `withLock` of this module. */
  withLock<T>(name: string, fn: (lock: Lock) => T | Promise<T>): Promise<T>;
  withLock<T>(name: string, options: LockOptions, fn: (lock: Lock) => T | Promise<T>): Promise<T>;
  withLock<T>(
    name: string,
    optionsOrFn: LockOptions | ((lock: Lock) => T | Promise<T>),
    fn?: (lock: Lock) => T | Promise<T>,
  ): Promise<T> {
    return holdWhile((options) => this.lock(name, options), confirm, optionsOrFn, fn);
  }

  /** As `inspect` of this module. */
  async inspect(name: string): Promise<PostgresStatus> {
    checkInput(name, {}, []);
    const key = await keyOf(name);
    return await this.#told(statusOn(this.#session, name, key), name);
  }

  /** As `list` of this module. */
  async list(): Promise<PostgresStatus[]> {
    return await this.#told(listOn(this.#session));
  }

  /** As `killRunning` of this module. */
  async killRunning(name: string, options: KillOptions = {}): Promise<boolean> {
    const termination = await this.terminate(name, options);
    return killed(name, this.#session.place, termination);
  }

  /** @internal What `killRunning` does, told in full. */
  async terminate(name: string, options: KillOptions): Promise<Termination> {
    const { timeout } = checkInput(name, options, KILL_OPTIONS);
    const key = await keyOf(name);
    return await this.#told(terminateOn(this.#session, name, key, timeout), name);
  }

  /** Ends the session, and with it the locks that share it. Never rejects. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // `undefined`: it is held, and nobody was asked by whom.
  async #acquire(
    wish: Wish,
    asks: boolean,
    signal?: AbortSignal,
  ): Promise<Lock | 'another' | LockHeldError | undefined> {
    const again = () => this.#attempt(wish);
    const lock = await again();
    if (lock !== undefined || !asks) return lock;
    return await retryOrRefuse(this.#session, this.#request(wish), again, signal);
  }

  // `another`: a reader's, of which this very session has one, or asks for one.
  async #attempt(wish: Wish): Promise<Lock | 'another' | undefined> {
    const { key, shared } = wish;
    // One that is over holds nothing, and says so when it is asked.
    if (this.#keys.has(key) && !this.#session.isOver) return shared ? 'another' : undefined;
    this.#keys.add(key);
    let lock: Lock | undefined;
    try {
      lock = await attempt(this.#session, this.#request(wish), async () => {
        this.#keys.delete(key);
      });
      return lock;
    } finally {
      if (lock === undefined) this.#keys.delete(key);
    }
  }

  #request(wish: Wish) {
    return { ...wish, path: this.#session.place };
  }

  #told<T>(answer: Promise<T>, name?: string): Promise<T> {
    return answer.catch((cause) => {
      throw errorOf(cause, this.#session.place, name);
    });
  }
}

export async function wishOf(name: string, { shared, metadata }: TryLockOptions): Promise<Wish> {
  return { name, key: await keyOf(name), shared: shared ?? false, metadata };
}

export async function nullIfHeld(lock: Promise<Lock>): Promise<Lock | null> {
  try {
    return await lock;
  } catch (error) {
    if (error instanceof LockHeldError) return null;
    throw error;
  }
}

/** Throws `LOCK_LOST` where the lock was lost. */
export function confirm(lock: Lock): void {
  lock.signal.throwIfAborted();
}

/** The options of a call, and which server they are for. */
export function split<T extends ServerOptions>(options: T) {
  const { connectionString, client, heartbeat, ...rest } = options;
  return { server: { connectionString, client, heartbeat }, rest };
}

import { checkInput, checkOptions, SERVER_OPTIONS } from './options.js';
import { acquireAlone } from './postgres/acquire.js';
import {
  Connection,
  confirm,
  KILL_OPTIONS,
  LOCK_OPTIONS,
  nullIfHeld,
  split,
  TRY_OPTIONS,
  wishOf,
} from './postgres/connection.js';
import type { Lock } from './postgres/lock.js';
import { Session } from './postgres/session.js';
import type { KillOptions, LockOptions, ServerOptions, TryLockOptions } from './postgres/types.js';
import type { PostgresStatus } from './types.js';
import { holdWhile } from './with.js';

export { Connection } from './postgres/connection.js';
export { Lock } from './postgres/lock.js';
export { MIGRATION as migration } from './postgres/table.js';
export type {
  KillOptions,
  LockOptions,
  PostgresClient,
  ServerOptions,
  TryLockOptions,
} from './postgres/types.js';
export type { JsonValue, PostgresHolder, PostgresStatus } from './types.js';

/**
 * Acquires the lock on a PostgreSQL server, with a session of its own: at once, or it fails with
 * `LOCK_HELD`; with `wait`, when those who asked before have had it. A pending wait keeps the process
 * alive, and the server's `VACUUM` from removing rows that died after it began.
 *
 * @throws (rejects) LockError `LOCK_HELD`; `LOCK_TIMEOUT`; the signal's reason; `LOCK_INVALID_NAME`
 *   (also where two names have one hash), `LOCK_INVALID_OPTION`; `LOCK_CONNECTION` where there is no
 *   session to be had; `LOCK_UNSUPPORTED` behind a pooler and on a standby; `LOCK_PERMISSION` where
 *   the role may not use the table; `LOCK_SYSTEM`.
 */
export async function lock(name: string, options: LockOptions & ServerOptions = {}): Promise<Lock> {
  const { server, rest } = split(checkInput(name, options, [...SERVER_OPTIONS, ...LOCK_OPTIONS]));
  return await acquireAlone(server, await wishOf(name, rest), rest);
}

/**
 * Acquires the lock if nobody holds it; `null` if somebody does. Never waits for the lock.
 *
 * @throws (rejects) LockError as `lock`, except `LOCK_HELD`.
 */
export async function tryLock(
  name: string,
  options: TryLockOptions & ServerOptions = {},
): Promise<Lock | null> {
  const { server, rest } = split(checkInput(name, options, [...SERVER_OPTIONS, ...TRY_OPTIONS]));
  return await nullIfHeld(acquireAlone(server, await wishOf(name, rest), {}));
}

/**
 * Acquires the lock, runs `fn` with it, and releases it however `fn` ends.
 *
 * @throws (rejects) as `lock` does, and with whatever `fn` throws; `LOCK_LOST` where `fn` returned,
 *   but the lock was lost meanwhile: its result is in doubt.
 */
export function withLock<T>(name: string, fn: (lock: Lock) => T | Promise<T>): Promise<T>;
export function withLock<T>(
  name: string,
  options: LockOptions & ServerOptions,
  fn: (lock: Lock) => T | Promise<T>,
): Promise<T>;
export function withLock<T>(
  name: string,
  optionsOrFn: (LockOptions & ServerOptions) | ((lock: Lock) => T | Promise<T>),
  fn?: (lock: Lock) => T | Promise<T>,
): Promise<T> {
  return holdWhile((options) => lock(name, options), confirm, optionsOrFn, fn);
}

/**
 * Who holds the lock now, and how many wait, as the server has it. It takes no lock.
 *
 * @throws (rejects) LockError `LOCK_CONNECTION` and the like, as `lock`.
 */
export async function inspect(name: string, options: ServerOptions = {}): Promise<PostgresStatus> {
  checkInput(name, options, SERVER_OPTIONS);
  return await once(options, (connection) => connection.inspect(name));
}

/**
 * The held locks of the database, by name; those of other programs too, where they have a name here.
 *
 * @throws (rejects) LockError as `inspect`.
 */
export async function list(options: ServerOptions = {}): Promise<PostgresStatus[]> {
  return await once(options, (connection) => connection.list());
}

/**
 * Whether somebody holds the lock now.
 *
 * @throws (rejects) LockError as `inspect`.
 */
export async function checkRunning(name: string, options: ServerOptions = {}): Promise<boolean> {
  return (await inspect(name, options)).held;
}

/**
 * Ends the sessions that hold the lock (`pg_terminate_backend`), and waits until the server has freed
 * it. That ends no process: the holder learns by its lock's `signal`, and has to stop by itself.
 * Resolves to `true` when they are gone, whoever has acquired the lock since; to `false` when nobody
 * held it.
 *
 * @throws (rejects) LockError `LOCK_TIMEOUT` when a session is still there; `LOCK_PERMISSION` when
 *   this role may not end it; `LOCK_DEADLOCK` when this process is the holder; and as `inspect`.
 */
export async function killRunning(
  name: string,
  options: KillOptions & ServerOptions = {},
): Promise<boolean> {
  const { server, rest } = split(checkInput(name, options, [...SERVER_OPTIONS, ...KILL_OPTIONS]));
  return await once(server, (connection) => connection.killRunning(name, rest));
}

/**
 * One session for many locks: the result has the same functions. Locks that share a session are lost
 * together.
 *
 * @throws (rejects) LockError `LOCK_CONNECTION` and the like, as `lock`.
 */
export async function connect(options: ServerOptions = {}): Promise<Connection> {
  const server = checkOptions(options, SERVER_OPTIONS);
  return new Connection(server, await Session.open(server));
}

async function once<T>(options: ServerOptions, ask: (to: Connection) => Promise<T>): Promise<T> {
  const connection = await connect(options);
  try {
    return await ask(connection);
  } finally {
    await connection.close();
  }
}

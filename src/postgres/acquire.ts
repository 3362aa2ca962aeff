// Acquiring: one attempt, or a place in the server's line.

import { onAbort } from '../cancel.js';
import { type LockHeldError, LockTypeError } from '../errors.js';
import { tellRefused, tellWaited } from '../events.js';
import {
  errorOf,
  isMadeMeanwhile,
  isRowMadeMeanwhile,
  QUERY_CANCELED,
  sqlStateOf,
  UNDEFINED_TABLE,
  UNIQUE_VIOLATION,
} from './failure.js';
import { Lock, type Request } from './lock.js';
import { heldError, isFree, timeoutError } from './refusal.js';
import { unlock } from './release.js';
import { type Row, Session } from './session.js';
import { grantValues, MIGRATION, OTHER_NAME, RESERVE, statement, TABLES_EXIST } from './table.js';
import type { LockOptions, ServerOptions } from './types.js';

/** What is asked for, before it is known where. */
export type Wish = Omit<Request, 'path'>;

/** How often a refusal is checked once more whose holder has gone, before it is told without one. */
const RETRIES = 8;

/**
 * Acquires on a session of the lock's own, which ends with it; `null` where the lock is held and
 * `wait` is `false`. Whatever is thrown, no session is left.
 */
export async function acquireAlone(
  server: ServerOptions,
  wish: Wish,
  { wait = false, signal }: LockOptions,
): Promise<Lock> {
  const session = await openFor(server, wish, signal);
  const request = { ...wish, path: session.place };
  const leave = () => session.leave();
  // That ends the question which the server is at, and gives a grant back.
  const forget = signal && onAbort(signal, () => void session.close());
  try {
    const again = () => attempt(session, request, leave);
    let lock: Lock | LockHeldError | undefined = await again();
    if (lock === undefined && wait === false) {
      lock = await retryOrRefuse(session, request, again, signal);
    }
    if (signal?.aborted === true && lock instanceof Lock) await lock.release();
    signal?.throwIfAborted();
    if (lock instanceof Lock) return lock;
    if (wait === false) throw lock;
    forget?.();
    return await waitInLine(session, request, wait, signal, leave);
  } catch (error) {
    await session.close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    forget?.();
  }
}

/** A session for this wish; what fails has its name. */
async function openFor(server: ServerOptions, { name }: Wish, signal: AbortSignal | undefined) {
  try {
    return await Session.open(server, signal);
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw errorOf(error, 'the server', name);
  }
}

/** Acquires for this session if nobody holds the lock. `leave` follows its release. */
export async function attempt(
  session: Session,
  request: Request,
  leave: () => Promise<void>,
): Promise<Lock | undefined> {
  const row = await ask(session, request, 'try');
  if (row.granted !== 't') return undefined;
  return new Lock(request, BigInt(row.token as string), session, 0, leave);
}

/**
 * The error of a refusal, which is told; or what `again` acquires, where the server names no holder any
 * more: the lock was freed between the two questions, and the refusal would be a false one.
 */
export async function retryOrRefuse<T>(
  session: Session,
  request: Request,
  again: () => Promise<T | undefined>,
  signal?: AbortSignal,
): Promise<T | LockHeldError> {
  for (let retry = 0; ; retry++) {
    signal?.throwIfAborted();
    const error = await heldError(session, request);
    if (!isFree(error) || retry >= RETRIES) {
      tellRefused(request, 0, () => error.holder);
      return error;
    }
    const acquired = await again();
    if (acquired !== undefined) return acquired;
  }
}

async function waitInLine(
  session: Session,
  request: Request,
  wait: true | number,
  signal: AbortSignal | undefined,
  leave: () => Promise<void>,
): Promise<Lock> {
  const started = performance.now();
  const waitedMs = () => performance.now() - started;
  let granted = () => {};
  const grant = new Promise<void>((resolve) => {
    granted = resolve;
  });
  const answer = ask(session, request, 'wait', granted);
  const end = await endOfWait(grant, answer, wait, signal);
  answer.catch(() => {}); // may fail while it is being cancelled
  const inDoubt = end !== 'answered' && !(await session.cancel());
  if (inDoubt || end === 'cancelled') await session.close(); // which gives a late grant back
  if (end === 'cancelled') {
    tellWaited(request, 'cancelled', waitedMs());
    throw signal?.reason;
  }
  try {
    // Also one that came as the time ran out.
    const { token } = await answer;
    if (!inDoubt) {
      tellWaited(request, 'acquired', waitedMs());
      return new Lock(request, BigInt(token as string), session, waitedMs(), leave);
    }
  } catch (error) {
    const isOver = inDoubt || sqlStateOf((error as Error).cause) === QUERY_CANCELED;
    if (end !== 'timeout' || !isOver) {
      tellWaited(request, 'failed', waitedMs());
      throw error;
    }
  }
  const timeout = await timeoutError(session, request, wait);
  tellWaited(request, 'timeout', waitedMs());
  tellRefused(request, waitedMs(), () => timeout.holder);
  throw timeout;
}

// With the grant no time runs out any more, while a token is fetched for it.
function endOfWait(
  grant: Promise<unknown>,
  answer: Promise<unknown>,
  wait: true | number,
  signal: AbortSignal | undefined,
): Promise<'answered' | 'timeout' | 'cancelled'> {
  return new Promise((resolve) => {
    const timer = wait === true ? undefined : setTimeout(() => end('timeout'), wait);
    const forget = signal && onAbort(signal, () => end('cancelled'));
    const end = (how: 'answered' | 'timeout' | 'cancelled') => {
      clearTimeout(timer);
      forget?.();
      resolve(how);
    };
    grant.then(() => clearTimeout(timer));
    const answered = () => end('answered');
    answer.then(answered, answered);
  });
}

async function ask(
  session: Session,
  request: Request,
  kind: 'try' | 'wait',
  granted?: () => void,
): Promise<Row> {
  const { name, key, metadata } = request;
  const values = grantValues(name, key, {
    backendStart: session.backendStart,
    host: session.host,
    pid: process.pid,
    metadata: metadata === undefined ? null : JSON.stringify(metadata),
  });
  const query = { ...statement(kind, request.shared), values };
  const acquire = async () => {
    const [row = {}] = await (kind === 'try'
      ? session.query(query)
      : session.queryAtLeisure(query));
    return row;
  };
  let row: Row;
  try {
    row = await acquire().catch(async (cause) => {
      if (sqlStateOf(cause) !== UNDEFINED_TABLE) throw cause;
      await makeTables(session);
      return await acquire();
    });
    if (row.granted === 't') granted?.();
    if (row.granted === 't' && row.token == null) {
      row = { ...row, ...(await reserve(session, [...values, session.timeline])) };
    }
  } catch (cause) {
    throw await meaningOf(session, request, cause);
  }
  if (row.other != null) throw collision(request, row.other);
  return row;
}

// Of a name's first readers, another one may make its row in this moment.
async function reserve(session: Session, values: unknown[], retries = RETRIES): Promise<Row> {
  try {
    const [row = {}] = await session.query({ text: RESERVE, values });
    return row;
  } catch (cause) {
    if (retries === 0 || !isRowMadeMeanwhile(cause)) throw cause;
    return await reserve(session, values, retries - 1);
  }
}

// A session's lock outlives the statement that took it and then failed.
async function meaningOf(session: Session, request: Request, cause: unknown): Promise<Error> {
  const { name, key } = request;
  if (sqlStateOf(cause) !== undefined) await unlock(session, request);
  if (sqlStateOf(cause) === UNIQUE_VIOLATION) {
    const rows = await session.query({ text: OTHER_NAME, values: [name, key] }).catch(() => []);
    if (rows[0]?.name != null) return collision(request, rows[0].name, cause);
  }
  return errorOf(cause, session.place, name);
}

function collision({ name, key, path }: Request, other: string, cause?: unknown): LockTypeError {
  return new LockTypeError(
    'LOCK_INVALID_NAME',
    `Invalid lock name "${name}": on ${path} it excludes "${other}", because both hash to ${key}; give one of the two another name`,
    name,
    cause,
  );
}

async function makeTables(session: Session): Promise<void> {
  try {
    await session.query({ text: MIGRATION });
  } catch (cause) {
    const [row] = isMadeMeanwhile(cause) ? await session.query({ text: TABLES_EXIST }) : [];
    if (row?.exist !== 't') throw cause;
  }
}

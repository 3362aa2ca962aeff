// What is said of a lock that was not to be had: who holds it.

import type { LockHeldDetails, LockHeldError, LockTimeoutError } from '../errors.js';
import { heldBy, stillHeldBy } from '../held.js';
import { nameOf } from '../report.js';
import type { PostgresHolder } from '../types.js';
import { isOwn, statusOn } from './inspect.js';
import type { Request } from './lock.js';
import type { Session } from './session.js';

export async function heldError(session: Session, request: Request): Promise<LockHeldError> {
  const details = await detailsOf(session, request);
  return heldBy(nameHolder(details.holder), details);
}

/** Whether the server was asked who holds it, and names nobody: the lock has been freed since. */
export function isFree({ holder, unknown }: LockHeldError): boolean {
  return holder === undefined && unknown.length === 0;
}

export async function timeoutError(
  session: Session,
  request: Request,
  wait: true | number,
): Promise<LockTimeoutError> {
  const details = await detailsOf(session, request);
  return stillHeldBy(nameHolder(details.holder), wait, details);
}

interface Details extends LockHeldDetails {
  holder: PostgresHolder | undefined;
}

async function detailsOf(session: Session, request: Request): Promise<Details> {
  const { name: lockName, path, key } = request;
  try {
    const { holders, unknown } = await statusOn(session, lockName, key);
    return { lockName, path, holder: holders[0], unknown };
  } catch (error) {
    return { lockName, path, holder: undefined, unknown: [(error as Error).message] };
  }
}

function nameHolder(holder: PostgresHolder | undefined): string {
  if (holder === undefined) return 'a session that could not be identified';
  return isOwn(holder) ? `this process (PID ${process.pid})` : nameOf(holder);
}

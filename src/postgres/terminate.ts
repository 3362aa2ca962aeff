// Ending the sessions that hold a lock, and no others.

import { LockDeadlockError, LockPathError, LockTimeoutError } from '../errors.js';
import type { PostgresHolder } from '../types.js';
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from './failure.js';
import { isOwn, isSame, startOf, statusOn } from './inspect.js';
import type { Session } from './session.js';
import { TERMINATE } from './table.js';

/** How an attempt to end the holders' sessions went. */
export interface Termination {
  /**
   * `none`: nobody held the lock. `gone`: the sessions have ended. `running`: the time ran out.
   * `denied`: this role may not end one of them.
   */
  outcome: 'none' | 'gone' | 'running' | 'denied';
  /** Who held the lock at first. */
  holders: PostgresHolder[];
  /** Who of them holds it still. */
  remaining: PostgresHolder[];
  /** Who has acquired it since. They are left alone. */
  successors: PostgresHolder[];
  /** The server's refusal, where there was one. */
  refusal: Error | undefined;
}

const DEFAULT_TIMEOUT = 10_000;
/** How often the server is asked whether they are gone, in milliseconds. */
const LOOK_AGAIN = 20;

/** Rejects with pg's errors, and `LOCK_DEADLOCK` where this process holds the lock. */
export async function terminateOn(
  session: Session,
  name: string,
  key: string,
  timeout = DEFAULT_TIMEOUT,
): Promise<Termination> {
  const { holders, path } = await statusOn(session, name, key);
  const ended = (
    outcome: Termination['outcome'],
    now: PostgresHolder[],
    refusal?: Error,
  ): Termination => ({
    outcome,
    holders,
    remaining: now.filter(isIncumbent),
    successors: now.filter((holder) => !isIncumbent(holder)),
    refusal,
  });
  const isIncumbent = (now: PostgresHolder) => holders.some((first) => isSame(first, now));
  if (holders.length === 0) return ended('none', []);
  if (holders.some((holder) => isOwn(holder) || String(holder.backendPid) === session.backend)) {
    throw new LockDeadlockError(`This process holds '${name}' itself; release it instead`, {
      lockName: name,
      path,
    });
  }
  const refused = new Set<number>();
  let refusal: Error | undefined;
  for (const holder of holders) {
    const { backendPid: pid } = holder;
    // One by one: a refusal ends the statement.
    try {
      await session.query({ text: TERMINATE, values: [key, pid, startOf(holder)] });
    } catch (cause) {
      if (sqlStateOf(cause) !== INSUFFICIENT_PRIVILEGE) throw cause;
      refused.add(pid);
      refusal = cause as Error;
    }
  }
  const started = performance.now();
  for (;;) {
    const { holders: now } = await statusOn(session, name, key);
    const left = now.filter(isIncumbent);
    if (left.length === 0) return ended('gone', now);
    if (left.every(({ backendPid }) => refused.has(backendPid))) {
      return ended('denied', now, refusal);
    }
    if (performance.now() - started >= timeout) return ended('running', now, refusal);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

/** What `killRunning` makes of that. */
export function killed(name: string, path: string, termination: Termination): boolean {
  const { outcome, remaining, refusal } = termination;
  if (outcome === 'none' || outcome === 'gone') return outcome === 'gone';
  const message = `'${name}' is still held: ${stillThere(termination)}`;
  const details = { lockName: name, path, cause: refusal };
  if (outcome === 'denied') throw new LockPathError('LOCK_PERMISSION', message, details);
  throw new LockTimeoutError(message, { ...details, holder: remaining[0] });
}

/** Why those who were to be ended are still there. */
export function stillThere({ outcome, remaining }: Termination): string {
  const backends = remaining.map(({ backendPid }) => backendPid).join(', ');
  return outcome === 'denied'
    ? `this role may not end session ${backends} of another role; the role pg_signal_backend may`
    : `the server was asked to end session ${backends}, and has not yet`;
}

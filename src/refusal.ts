// What is said of a lock that was not to be had: who holds it.

import type { LockHeldError, LockTimeoutError } from './errors.js';
import { heldBy, stillHeldBy } from './held.js';
import { locksOn, statusOf } from './inspect.js';
import { type FileLocks, UNLOCKED } from './kernel.js';
import type { LockRequest } from './request.js';

/**
 * The lock was refused, so it is held, also where nothing more can be told (no /proc, no descriptor
 * left to read it with).
 */
export function locksOfRefusal({ name, path }: LockRequest): FileLocks {
  try {
    return locksOn(name, path);
  } catch (error) {
    const unknown = [(error as Error).message];
    return { ...UNLOCKED, held: true, waiters: undefined, unknown };
  }
}

export function heldError(request: LockRequest, locks: FileLocks): LockHeldError {
  const details = detailsOf(request, locks);
  return heldBy(nameHolder(details), details);
}

export function timeoutError(
  request: LockRequest,
  locks: FileLocks,
  wait: true | number,
): LockTimeoutError {
  const details = detailsOf(request, locks);
  return stillHeldBy(nameHolder(details), wait, details);
}

function detailsOf({ name, path }: LockRequest, locks: FileLocks) {
  const { holders, unknown } = statusOf(name, path, locks);
  return { lockName: name, path, holder: holders[0], unknown };
}

function nameHolder({ holder }: ReturnType<typeof detailsOf>): string {
  if (holder === undefined) return 'a process that could not be identified';
  const { pid } = holder;
  return pid === process.pid ? `this process (PID ${pid})` : `PID ${pid}`;
}

// How a refusal is worded, wherever the lock is.

import { type LockHeldDetails, LockHeldError, LockTimeoutError } from './errors.js';

export function heldBy(holder: string, details: LockHeldDetails): LockHeldError {
  return new LockHeldError(`'${details.lockName}' is held by ${holder}`, details);
}

/** `wait`: what was asked for, in milliseconds. */
export function stillHeldBy(
  holder: string,
  wait: true | number,
  details: LockHeldDetails,
): LockTimeoutError {
  return new LockTimeoutError(
    `'${details.lockName}' was still held by ${holder} after ${wait} ms`,
    details,
  );
}
